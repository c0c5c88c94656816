#!/usr/bin/env bash
# Puts Pythons of a later Debian beside the system's own, for `make test-pythons`, with apt's own client:
#
#   tests/debian_pythons.sh target/debian forky 3.14
#   PATH=$PWD/target/debian/bin:$PATH make test-pythons PYTHONS=3.14
#
# Nothing is installed: the packages and all they rest on, the C library too, are unpacked into the folder, and the
# interpreters told to look there.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd) suite=$2
shift 2

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep --max-count=1 '/debian/$')
mkdir -p "$folder"/{apt/lists/partial,archives/partial,root,bin}
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$folder/sources.list"
: >"$folder/status" # as if nothing was installed
apt=(apt-get -qq -y --no-install-recommends
    -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=-
    -o Dir::State="$folder/apt" -o Dir::State::status="$folder/status" -o Dir::Cache="$folder"
    -o Acquire::Languages=none -o APT::Sandbox::User=root)
"${apt[@]}" update
"${apt[@]}" --download-only install $(printf 'python%s-venv ' "$@")
for package in "$folder"/archives/*.deb; do
    dpkg-deb --extract "$package" "$folder/root"
done

libraries=$(dirname "$(find "$folder/root" -name libc.so.6)")
loader=$(find "$folder/root" -name 'ld-linux*.so.*' | head --lines=1)
for version in "$@"; do
    python=$folder/root/usr/bin/python$version
    # The tag that also counts for what its libraries load.
    patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$python"
    ln -sf "$python" "$folder/bin/"
done
