#!/bin/sh
# The first process of the machine. It has the files of the host to read, and a disk of its own.
mount -t proc proc /proc
mountpoint -q /dev || mount -t devtmpfs dev /dev
mkdir -p /dev/shm && mount -t tmpfs shm /dev/shm
exec </dev/null >/dev/ttyS0
stty raw </dev/ttyS0
mount -t ext4 -o "data=$DATA" /dev/ubda "$TRAINWIRE_TEST_MACHINE/disk" && "$PROGRAM" --exact "$RUN" \
    --ignored --nocapture --test-threads=1
echo "over: $?"
# It does not end: the power is cut.
exec sleep 1000000
