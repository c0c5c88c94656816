//! What tells one process from a later one with the same pid, also on disk and after a reboot.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::str::FromStr;
use std::sync::OnceLock;

use nix::errno::Errno;

use crate::planted;
use crate::{ExitStatus, PidFd};

/// A process for the journal. Equal identities are the same process; an equal pid alone is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessIdentity {
    /// Number of the process.
    pub pid: u32,
    /// When it started, in clock ticks (`sysconf(_SC_CLK_TCK)`, 100 a second) since boot.
    pub start_time_ticks: u64,
    /// The boot that pid and start time are of.
    pub boot_id: BootId,
}

impl ProcessIdentity {
    /// Reads the identity of whoever has this pid now, zombies included.
    ///
    /// # Errors
    /// `ESRCH` for a pid nobody has.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut stat = [0; STAT_SIZE_BYTES_MAX];
        // In one call: the kernel gives all of it to whoever has room.
        let len = match File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut stat)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Errno::ESRCH.into()),
            answer => answer?,
        };
        let start_time_ticks =
            stat.get(..len).and_then(start_time_ticks).ok_or_else(|| unreadable("stat"))?;
        Ok(Self { pid, start_time_ticks, boot_id: BootId::current()? })
    }

    /// How it ended, as long as it is dead and nobody has reaped it; `None` before and after, and for a process
    /// of another user. For those that are not our children: nothing else tells before Linux 6.15.
    pub fn exit_status_of_zombie(&self) -> Option<ExitStatus> {
        let stat = fs::read(format!("/proc/{}/stat", self.pid)).ok()?;
        let zombie = field(&stat, 3)? == "Z" && start_time_ticks(&stat)? == self.start_time_ticks;
        let status = field(&stat, 52)?.parse().ok()?;
        (zombie && BootId::current().ok()? == self.boot_id).then(|| ExitStatus::from_wait_status(status))
    }

    /// Opens this very process, or `None` if it is gone: reaped, its pid recycled, or the machine
    /// rebooted.
    ///
    /// # Errors
    /// The kernel's, such as `EMFILE`.
    pub fn open(&self) -> io::Result<Option<PidFd>> {
        let opened = match PidFd::open(self.pid) {
            Ok(opened) => opened,
            // Nobody has the pid, or a thread that leads no process: after a reboot it can be anybody's.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EINVAL | libc::ENOENT)) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // The process of this identity started before it was opened, so if it has the pid now, it
        // had it then.
        match Self::of(self.pid) {
            Ok(now) => Ok((now == *self || planted::is("bare-pid")).then_some(opened)),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// One boot of one machine, as the kernel numbers them at random.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BootId(u128);

impl BootId {
    /// Reads this boot's, once in the life of this process.
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn current() -> io::Result<Self> {
        static CURRENT: OnceLock<BootId> = OnceLock::new();
        if let Some(current) = CURRENT.get() {
            return Ok(*current);
        }
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let current = text.trim().parse().map_err(|InvalidBootId| unreadable("boot_id"))?;
        Ok(*CURRENT.get_or_init(|| current))
    }
}

/// Written as a UUID, as in /proc.
impl fmt::Display for BootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(formatter, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for BootId {
    type Err = InvalidBootId;

    fn from_str(text: &str) -> Result<Self, InvalidBootId> {
        let hex = text.replace('-', "");
        if hex.len() != 32 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidBootId);
        }
        u128::from_str_radix(&hex, 16).map(Self).map_err(|_| InvalidBootId)
    }
}

/// A text that is no UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a boot id: 32 hexadecimal digits are expected, with or without dashes")]
pub struct InvalidBootId;

/// 52 fields, of which one is a name of 64 bytes at most and the others are numbers of 20 digits.
const STAT_SIZE_BYTES_MAX: usize = 2 << 10;

fn start_time_ticks(stat: &[u8]) -> Option<u64> {
    field(stat, 22)?.parse().ok()
}

/// A field of proc_pid_stat(5), from the third on. The second, the command's name in parentheses, may itself
/// contain spaces and parentheses, so counting begins after the last one.
fn field(stat: &[u8], number: usize) -> Option<&str> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(number - 3)
}

fn unreadable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the kernel's {what} in /proc is not as documented"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_full_of_parentheses_does_not_shift_the_fields() {
        let stat = b"7 (a) R 1 (b)) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 10 11 12";
        assert_eq!(start_time_ticks(stat), Some(98765));
        assert_eq!(start_time_ticks(b"7 (cut) S 1 7"), None);
        assert_eq!(start_time_ticks(b""), None);
    }

    #[test]
    fn a_boot_id_survives_its_text() {
        let current = BootId::current().unwrap();
        assert_eq!(current.to_string().parse(), Ok(current));
        assert_eq!(current, BootId::current().unwrap());
        let text = "0f0e0d0c-0b0a-4908-8706-050403020100";
        assert_eq!(text.parse::<BootId>().unwrap().to_string(), text);
        for text in ["", "0f0e0d0c", "+f0e0d0c-0b0a-4908-8706-050403020100"] {
            assert_eq!(text.parse::<BootId>(), Err(InvalidBootId), "{text}");
        }
    }
}
