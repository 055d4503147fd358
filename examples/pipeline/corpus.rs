//! The text to count: which files, where they are cut, and how they are packed.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::Failure;
use crate::wire::{Parcel, Piece};

/// The text files below a path, packed into parcels. They are held in memory, so that a parcel can be sent again
/// exactly as it was, whatever has happened to the files since.
#[derive(Default)]
pub(crate) struct Corpus {
    files: Vec<File>,
    /// What is in each parcel: a file, and which part of it.
    parcels: Vec<Vec<(usize, Range<usize>)>>,
    /// How much still fits into the last parcel.
    room: usize,
}

struct File {
    path: String,
    text: Vec<u8>,
}

impl Corpus {
    pub(crate) fn read(root: &Path) -> Result<Self, Failure> {
        let mut corpus = Self::default();
        let mut bytes = 0;
        for path in walk(root) {
            match fs::read(&path) {
                Ok(text) if is_text(&text) => {
                    bytes += text.len();
                    corpus.add(display_name(&path, root), text);
                }
                Ok(_) => {}
                Err(error) => leave_out(&path, &error),
            }
            if bytes > LARGEST {
                return Err(format!("more than {} MiB below {}", LARGEST >> 20, root.display()).into());
            }
        }
        if corpus.files.is_empty() {
            return Err(format!("there are no text files below {}", root.display()).into());
        }
        Ok(corpus)
    }

    pub(crate) fn files(&self) -> u64 {
        self.files.len() as u64
    }

    pub(crate) fn parcels(&self) -> u64 {
        self.parcels.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.text.len() as u64).sum()
    }

    /// The count to compare with: every file as a whole, and in another way than the workers count.
    pub(crate) fn words(&self) -> u64 {
        let runs = self.files.iter().flat_map(|file| file.text.split(u8::is_ascii_whitespace));
        runs.filter(|run| !run.is_empty()).count() as u64
    }

    /// The parcel with this number. Numbers above the last parcel go over the same files again.
    pub(crate) fn parcel(&self, id: u64) -> Parcel<'_> {
        let pieces = self.parcels[(id % self.parcels()) as usize].iter().map(|(file, range)| {
            let File { path, text } = &self.files[*file];
            Piece { path, offset: range.start as u64, text: &text[range.clone()] }
        });
        Parcel { id, pieces: pieces.collect() }
    }

    fn add(&mut self, path: String, text: Vec<u8>) {
        for range in cut(&text) {
            if range.len() > self.room {
                self.parcels.push(Vec::new());
                self.room = PARCEL;
            }
            self.room = self.room.saturating_sub(range.len());
            if let Some(parcel) = self.parcels.last_mut() {
                parcel.push((self.files.len(), range));
            }
        }
        self.files.push(File { path, text });
    }
}

/// Cuts a text where a word ends, so that the words of the pieces add up to those of the text.
fn cut(text: &[u8]) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let enough = text.len().min(start + PARCEL);
        let rest_of_word = text[enough..].iter().position(u8::is_ascii_whitespace);
        let end = rest_of_word.map_or(text.len(), |length| enough + length);
        pieces.push(start..end);
        start = end;
    }
    pieces
}

/// All files below a path, in the same order each time. Links are not followed, so there is no going in circles.
fn walk(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(path) = open.pop() {
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => files.push(path),
            Ok(found) if found.is_dir() && (path == root || !is_skipped(&path)) => {
                match fs::read_dir(&path) {
                    Ok(entries) => open.extend(entries.flatten().map(|entry| entry.path())),
                    Err(error) => leave_out(&path, &error),
                }
            }
            Ok(_) => {}
            Err(error) => leave_out(&path, &error),
        }
    }
    files.sort();
    files
}

fn display_name(path: &Path, root: &Path) -> String {
    match path.strip_prefix(root) {
        Ok(below) if path != root => below.display().to_string(),
        _ => path.display().to_string(),
    }
}

fn is_skipped(directory: &Path) -> bool {
    directory.ends_with("target") || directory.ends_with(".git")
}

fn leave_out(path: &Path, error: &io::Error) {
    eprintln!("ventilator: leaving out {}: {error}", path.display());
}

/// Neither empty nor binary. Text has no zero bytes, and it has a space or a line end every now and then.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && !bytes.contains(&0)
        && bytes.split(u8::is_ascii_whitespace).all(|word| word.len() <= LONGEST_WORD)
}

/// The size of a parcel. It is passed by a little only where a word ends later.
const PARCEL: usize = 64 << 10;
const LONGEST_WORD: usize = 1 << 20;
/// What may reasonably be held in memory.
const LARGEST: usize = 1 << 30;
