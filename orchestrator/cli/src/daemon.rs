//! Where the daemon is: its state folder, and the control socket in it.

use std::env;
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure};

/// The folder that was named, or the default, absolute.
pub(crate) fn state_dir(said: Option<&Path>) -> Result<PathBuf, Failure> {
    let failed = |text: String| Failure::new(Exit::CouldNotStart, text);
    let dir = match said {
        Some(dir) => dir.to_owned(),
        None => default(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
            .ok_or_else(|| {
                failed("neither HOME nor XDG_STATE_HOME is set; name the folder with --state".to_owned())
            })?,
    };
    std::path::absolute(&dir).map_err(|error| failed(format!("the state folder {}: {error}", dir.display())))
}

/// The socket of the daemon that has this folder.
pub(crate) fn control_path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

fn default(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("TRAINWIRE_STATE")
        // The base directory specification wants relative ones ignored.
        .or_else(|| {
            variable("XDG_STATE_HOME").filter(|dir| dir.is_absolute()).map(|dir| dir.join("trainwire"))
        })
        .or_else(|| variable("HOME").map(|home| home.join(".local/state/trainwire")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_counts() {
        let found = |set: &[(&str, &str)]| {
            default(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
        };
        let all = [("TRAINWIRE_STATE", "t"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(found(&all), Some("t".into()));
        assert_eq!(found(&all[1..]), Some("/x/trainwire".into()));
        assert_eq!(
            found(&[("XDG_STATE_HOME", "x"), ("HOME", "/h")]),
            Some("/h/.local/state/trainwire".into())
        );
        assert_eq!(found(&[]), None);
    }
}
