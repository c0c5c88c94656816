//! Every limit of the wire, with its unit and reason. A length is compared with its limit before
//! anything is allocated or added.

/// The version of the protocol this crate speaks.
pub const PROTOCOL_VERSION: u16 = 1;

/// The header of a frame: length (4), kind (1), flags (1), meta words (2).
pub const FRAME_HEADER_SIZE_BYTES: usize = 8;

/// Frames are padded to this, so that both parts of every frame of a stream start 8-aligned.
pub const FRAME_ALIGNMENT_BYTES: usize = 8;

/// The FlatBuffer that describes a message. 64 KiB hold a report of 1,024 metrics with room to spare.
pub const META_SIZE_BYTES_MAX: usize = 64 << 10;

/// A task up to this size travels inside its frame unless configured otherwise: up to here one copy
/// through the socket costs less than a descriptor and the page faults of its mapping.
pub const INLINE_TASK_SIZE_BYTES_DEFAULT: usize = 64 << 10;

/// No configuration lets a larger task travel inside a frame, so a reader never needs more memory
/// than [`FRAME_SIZE_BYTES_MAX`].
pub const INLINE_TASK_SIZE_BYTES_MAX: usize = 1 << 20;

/// The largest frame: header, meta and inline task.
pub const FRAME_SIZE_BYTES_MAX: usize =
    FRAME_HEADER_SIZE_BYTES + META_SIZE_BYTES_MAX + INLINE_TASK_SIZE_BYTES_MAX;

/// FlatBuffers offsets are signed 32 bit.
pub const TASK_SIZE_BYTES_MAX: usize = (2 << 30) - 1;

/// A string of a message: ids, codes, names, paths (`PATH_MAX` is 4,096), texts of errors.
pub const STRING_SIZE_BYTES_MAX: usize = 4 << 10;

/// A traceback, which is longer than other strings; the sender keeps its end, where the cause is.
pub const TRACEBACK_SIZE_BYTES_MAX: usize = 32 << 10;

/// Metrics of one report, checkpoint or result.
pub const METRICS_MAX: usize = 1_024;

/// Deliveries one trainer may have in hand.
pub const IN_HAND_MAX: usize = 1_024;

/// Deliveries whose bytes in a slab one trainer may hold at a time, and entries of one Release: a Hello
/// has to be able to list them.
pub const HELD_MAX: usize = 4_096;

/// Where a task in a slab may begin: as in a frame, so that its FlatBuffer is aligned.
pub const SLAB_ALIGNMENT_BYTES: u64 = FRAME_ALIGNMENT_BYTES as u64;

/// A token and an instance: 128 random bits.
pub const TOKEN_SIZE_BYTES: usize = 16;

/// Nesting of tables and vectors the verifier follows. The deepest message nests three.
pub const VERIFIER_DEPTH_MAX: usize = 16;

/// A verified buffer may look at most this many times as large as it is, which bounds the time a
/// buffer whose offsets all point at one place can burn.
pub const VERIFIER_APPARENT_SIZE_FACTOR: usize = 4;

/// Nesting of msgpack maps and arrays that are decoded.
pub const MSGPACK_DEPTH_MAX: usize = 128;

/// Results and checkpoints kept by a trainer until they are acknowledged.
pub const UNACKNOWLEDGED_MAX: usize = 1_024;

/// The memory results and checkpoints kept until acknowledged may take.
pub const UNACKNOWLEDGED_SIZE_BYTES_MAX: usize = 16 << 20;

/// A job id: with the default folder and prefix it fits the 107 bytes a socket path may have.
pub const JOB_ID_SIZE_BYTES_MAX: usize = 76;

const _: () = assert!(META_SIZE_BYTES_MAX / 8 <= u16::MAX as usize, "meta_words is a u16");
const _: () = assert!(FRAME_SIZE_BYTES_MAX.is_multiple_of(FRAME_ALIGNMENT_BYTES));
const _: () = assert!(TRACEBACK_SIZE_BYTES_MAX + 4 * STRING_SIZE_BYTES_MAX < META_SIZE_BYTES_MAX);
