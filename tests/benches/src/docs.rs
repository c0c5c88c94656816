//! Puts the figures and pictures of the last run into the documents: `make bench-docs`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::pictures::pictures;
use crate::report::Report;
use crate::sections::SECTIONS;
use crate::{summary, tables};

/// Writes `bench.json` and the pictures of a run.
pub fn write(report: &Report, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join("bench.json"), report.to_json()).expect("a file");
    for (name, picture) in pictures(report) {
        fs::write(folder.join(name), picture).expect("a file");
    }
}

/// Copies them to where readers find them. A run of some sections only is refused: figures of
/// different runs do not belong into one table.
pub fn refresh() -> Result<(), String> {
    let path = target().join("bench.json");
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}; run `make bench`", path.display()))?;
    let report: Report =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let measured = serde_json::to_value(&report).expect("numbers and names");
    let missing: Vec<&str> =
        SECTIONS.iter().map(|section| section.key).filter(|key| measured.get(key).is_none()).collect();
    if !missing.is_empty() {
        return Err(format!(
            "the last run left out {}; run `make bench` without SECTION",
            missing.join(", ")
        ));
    }
    write(&report, &root().join("docs/benchmarks"));
    let pictures = PICTURES.map(|(name, alt)| format!("![{alt}](benchmarks/{name})")).join("\n\n");
    let page = format!("{pictures}\n\n{}", tables::markdown(&report));
    put_between_marks(&root().join("docs/benchmarks.md"), &page);
    let (name, alt) = PICTURES[0];
    let summary = format!("![{alt}](docs/benchmarks/{name})\n\n{}", summary::markdown(&report));
    put_between_marks(&root().join("README.md"), &summary);
    Ok(())
}

fn put_between_marks(path: &Path, figures: &str) {
    let text = fs::read_to_string(path).expect("a document");
    let text = between_marks(&text, figures).unwrap_or_else(|| panic!("{}: no marks", path.display()));
    fs::write(path, text).expect("a document");
}

fn between_marks(text: &str, figures: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", figures.trim()))
}

/// Of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where a run leaves what it found.
pub fn target() -> PathBuf {
    root().join("target")
}

/// For those who do not see them, what they show.
const PICTURES: [(&str, &str); 3] = [
    ("sizes.svg", "Time from the bytes of a task being there until NumPy sees them, from 1 KiB to 1 GiB"),
    ("throughput.svg", "Small tasks a second"),
    ("memory.svg", "What looking at a task of 256 MiB adds to its reader's memory"),
];

const BEGIN: &str = "<!-- figures: written by `make bench-docs` -->";
const END: &str = "<!-- end of the figures -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = between_marks(&text, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(between_marks(&new, "new").unwrap(), new);
        assert_eq!(between_marks("no marks", ""), None);
    }

    #[test]
    fn the_documents_have_their_marks() {
        for name in ["docs/benchmarks.md", "README.md"] {
            let text = fs::read_to_string(root().join(name)).unwrap();
            assert!(between_marks(&text, "").is_some(), "{name}");
        }
    }
}
