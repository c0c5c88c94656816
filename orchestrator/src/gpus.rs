//! The GPUs this process may use.

use std::path::Path;

/// Their names as `CUDA_VISIBLE_DEVICES` takes them. Empty without GPUs.
pub(crate) fn visible() -> Vec<String> {
    let said = std::env::var_os("CUDA_VISIBLE_DEVICES");
    match said {
        Some(said) => named_in(&said.to_string_lossy()),
        None => listed_in(Path::new("/proc/driver/nvidia/gpus")),
    }
}

/// As CUDA reads them: up to the first that cannot be one, each once.
fn named_in(said: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in said.split(',').map(str::trim) {
        let number = name.parse::<u32>().is_ok();
        if !(number || name.starts_with("GPU-") || name.starts_with("MIG-"))
            || names.iter().any(|known| known == name)
        {
            break;
        }
        names.push(name.to_owned());
    }
    names
}

/// The driver has a folder for each; CUDA counts them from 0.
fn listed_in(folder: &Path) -> Vec<String> {
    let count = std::fs::read_dir(folder).map_or(0, |folders| folders.flatten().count());
    (0..count).map(|number| number.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_read_as_cuda_reads_them() {
        assert_eq!(named_in("2, 0,GPU-3f1a"), ["2", "0", "GPU-3f1a"]);
        assert_eq!(named_in("1,-1,0"), ["1"]);
        assert_eq!(named_in("1,1"), ["1"]);
        for none in ["", "-1", "none", "NoDevFiles"] {
            assert_eq!(named_in(none), Vec::<String>::new(), "{none}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(listed_in(&folder.path().join("missing")), Vec::<String>::new());
        for gpu in ["0000:01:00.0", "0000:02:00.0"] {
            std::fs::create_dir(folder.path().join(gpu)).unwrap();
        }
        assert_eq!(listed_in(folder.path()), ["0", "1"]);
    }
}
