//! The directories of a simulated disk: what names there are now, and what a power failure would
//! leave of them.
//!
//! Each change of a name is kept, in order, until a directory sync makes it durable. A power failure
//! undoes the latest few of those that are left. Syncing a directory makes durable what was changed
//! in that directory and nothing of what was changed above it: a synced name in a directory whose
//! own name was not synced goes with the directory.
//!
//! # Invariants
//!
//! - What is kept is a history: undoing it from the latest on leads back to the durable names.
//! - A rename is undone as a whole. It concerns two directories; when one of them is synced, so is
//!   everything before it in the other, or undoing would not lead back to a state that ever was.

use std::collections::{BTreeMap, BTreeSet};

use hstore_core::Rng;
use hstore_core::ports::file_system::{FileErrorKind, PathKind};

use super::pages::Pages;
use super::{Failure, PowerLoss};

/// A file or directory, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inode(u64);

/// The root directory.
const ROOT: Inode = Inode(0);

/// What an inode is.
#[derive(Clone, Debug)]
enum Node {
    /// A file, with its content.
    File(Pages),
    /// A directory, with the names in it.
    Directory(BTreeMap<String, Inode>),
}

/// A name's change.
#[derive(Clone, Debug)]
struct Edit {
    /// The directory.
    directory: Inode,
    /// The name in it.
    name: String,
    /// What it led to before.
    before: Option<Inode>,
}

/// The changes of one operation.
type Change = Vec<Edit>;

/// Where a path's last name is, or would be.
struct Place<'a> {
    /// The directory.
    directory: Inode,
    /// The name in it.
    name: &'a str,
    /// What it leads to.
    leads_to: Option<Inode>,
}

/// The directory tree.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// All files and directories that a name, a change or an open file leads to.
    nodes: BTreeMap<Inode, Node>,
    /// The changes that are not durable, in order.
    changes: Vec<Change>,
    /// The number of the next inode.
    next_inode: u64,
}

fn failure(kind: FileErrorKind, detail: &'static str) -> Failure {
    Failure { kind, detail }
}

fn missing() -> Failure {
    failure(FileErrorKind::NotFound, "there is no such file")
}

fn missing_directory() -> Failure {
    failure(FileErrorKind::NotFound, "there is no such directory")
}

fn is_a_directory() -> Failure {
    failure(FileErrorKind::Exists, "it is a directory")
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Directory(BTreeMap::new()))]),
            changes: Vec::new(),
            next_inode: 1,
        }
    }

    /// How many changes are not durable.
    pub(super) fn unsynced(&self) -> usize {
        self.changes.len()
    }

    /// The content of a file that is open.
    pub(super) fn pages(&self, file: Inode) -> &Pages {
        match &self.nodes[&file] {
            Node::File(pages) => pages,
            Node::Directory(_) => unreachable!("only files are opened"),
        }
    }

    /// The content of a file that is open.
    pub(super) fn pages_mut(&mut self, file: Inode) -> &mut Pages {
        match self.nodes.get_mut(&file) {
            Some(Node::File(pages)) => pages,
            _ => unreachable!("an open file is kept"),
        }
    }

    /// The contents of all files.
    pub(super) fn all_pages(&self) -> impl Iterator<Item = &Pages> {
        self.nodes.values().filter_map(|node| match node {
            Node::File(pages) => Some(pages),
            Node::Directory(_) => None,
        })
    }

    /// The file at `path`, emptied, or a new one.
    pub(super) fn create(&mut self, path: &str) -> Result<Inode, Failure> {
        let place = self.place(path)?;
        match place.leads_to {
            Some(inode) => match self.nodes.get_mut(&inode) {
                Some(Node::File(pages)) => {
                    pages.truncate(0);
                    Ok(inode)
                }
                _ => Err(is_a_directory()),
            },
            None => {
                let (directory, name) = (place.directory, place.name);
                Ok(self.add(directory, name, Node::File(Pages::default())))
            }
        }
    }

    /// The file at `path`.
    pub(super) fn open(&self, path: &str) -> Result<Inode, Failure> {
        self.file_at(&self.place(path)?)
    }

    pub(super) fn look_up(&self, path: &str) -> Result<PathKind, Failure> {
        if path.is_empty() {
            return Ok(PathKind::Directory);
        }
        let inode = self.place(path)?.leads_to.ok_or_else(missing)?;
        Ok(match &self.nodes[&inode] {
            Node::File(pages) => PathKind::File(pages.cached().len() as u64),
            Node::Directory(_) => PathKind::Directory,
        })
    }

    pub(super) fn link(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        let file = self.file_at(&self.place(from)?)?;
        let target = self.place(to)?;
        if target.leads_to.is_some() {
            return Err(failure(FileErrorKind::Exists, "the name is taken"));
        }
        self.change([(target.directory, target.name.to_owned(), Some(file))]);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        let (source, target) = (self.place(from)?, self.place(to)?);
        let file = self.file_at(&source)?;
        if target.leads_to.is_some() {
            self.file_at(&target)?;
        }
        if target.leads_to == Some(file) {
            return Ok(());
        }
        let edits = [
            (source.directory, source.name.to_owned(), None),
            (target.directory, target.name.to_owned(), Some(file)),
        ];
        self.change(edits);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str) -> Result<(), Failure> {
        let place = self.place(path)?;
        self.file_at(&place)?;
        self.change([(place.directory, place.name.to_owned(), None)]);
        Ok(())
    }

    pub(super) fn create_dir(&mut self, path: &str) -> Result<(), Failure> {
        if path.is_empty() {
            return Ok(());
        }
        refuse_unless_plain(path)?;
        let mut directory = ROOT;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            directory = match self.entries(directory)?.get(name).copied() {
                None => self.add(directory, name, Node::Directory(BTreeMap::new())),
                Some(inode) if matches!(self.nodes[&inode], Node::Directory(_)) => inode,
                Some(_) if names.peek().is_some() => return Err(missing_directory()),
                Some(_) => return Err(failure(FileErrorKind::Exists, "it is a file")),
            };
        }
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &str) -> Result<(), Failure> {
        let place = self.place(path)?;
        let directory = place.leads_to.ok_or_else(missing_directory)?;
        if !self.entries(directory)?.is_empty() {
            return Err(failure(FileErrorKind::Exists, "it is not empty"));
        }
        self.change([(place.directory, place.name.to_owned(), None)]);
        Ok(())
    }

    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, Failure> {
        let directory = self.directory_at(path)?;
        Ok(self.entries(directory)?.keys().cloned().collect())
    }

    /// Makes the names in a directory durable. Returns how many changes that were.
    pub(super) fn sync_dir(&mut self, path: &str, in_use: Vec<Inode>) -> Result<u64, Failure> {
        let mut synced = BTreeSet::from([self.directory_at(path)?]);
        let mut left = Vec::new();
        let mut replaced = false;
        let before = self.changes.len();
        while let Some(change) = self.changes.pop() {
            if change.iter().any(|edit| synced.contains(&edit.directory)) {
                synced.extend(change.iter().map(|edit| edit.directory));
                replaced |= change.iter().any(|edit| edit.before.is_some());
            } else {
                left.push(change);
            }
        }
        left.reverse();
        self.changes = left;
        if replaced {
            self.forget_unreachable(in_use);
        }
        Ok((before - self.changes.len()) as u64)
    }

    /// Leaves what a power failure leaves.
    pub(super) fn lose_power(&mut self, rng: &mut Rng, loss: &mut PowerLoss) {
        let unsynced = self.changes.len() as u64;
        let kept = match rng.below(3) {
            0 => unsynced,
            1 => 0,
            _ => rng.within(0..=unsynced),
        };
        loss.unsynced_names += unsynced;
        loss.lost_names += unsynced - kept;
        self.undo_changes_from(kept as usize);
        for node in self.nodes.values_mut() {
            if let Node::File(pages) = node {
                pages.lose_power(rng, loss);
            }
        }
    }

    /// Leaves what was synced, and nothing else.
    pub(super) fn lose_unsynced(&mut self, loss: &mut PowerLoss) {
        let unsynced = self.changes.len() as u64;
        loss.unsynced_names += unsynced;
        loss.lost_names += unsynced;
        self.undo_changes_from(0);
        for node in self.nodes.values_mut() {
            if let Node::File(pages) = node {
                pages.lose_unsynced(loss);
            }
        }
    }

    fn undo_changes_from(&mut self, kept: usize) {
        for change in self.changes.split_off(kept).into_iter().rev() {
            for edit in change.into_iter().rev() {
                self.set(edit.directory, edit.name, edit.before);
            }
        }
        self.changes.clear();
        self.forget_unreachable(Vec::new());
    }

    /// All files by path, in the order of paths within each directory.
    pub(super) fn all_files(&self) -> Vec<(String, &Pages)> {
        let mut files = Vec::new();
        let mut left = vec![(String::new(), ROOT)];
        while let Some((path, inode)) = left.pop() {
            match &self.nodes[&inode] {
                Node::File(pages) => files.push((path, pages)),
                Node::Directory(entries) => {
                    for (name, &inode) in entries.iter().rev() {
                        let path = if path.is_empty() {
                            name.clone()
                        } else {
                            format!("{path}/{name}")
                        };
                        left.push((path, inode));
                    }
                }
            }
        }
        files
    }

    /// The content of the file at a path, if there is one.
    pub(super) fn pages_at(&mut self, path: &str) -> Option<&mut Pages> {
        let inode = self.open(path).ok()?;
        Some(self.pages_mut(inode))
    }

    fn place<'a>(&self, path: &'a str) -> Result<Place<'a>, Failure> {
        refuse_unless_plain(path)?;
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.directory_at(parent)?;
        let leads_to = self.entries(directory)?.get(name).copied();
        Ok(Place {
            directory,
            name,
            leads_to,
        })
    }

    fn file_at(&self, place: &Place<'_>) -> Result<Inode, Failure> {
        let inode = place.leads_to.ok_or_else(missing)?;
        match self.nodes[&inode] {
            Node::File(_) => Ok(inode),
            Node::Directory(_) => Err(is_a_directory()),
        }
    }

    fn directory_at(&self, path: &str) -> Result<Inode, Failure> {
        let mut directory = ROOT;
        if path.is_empty() {
            return Ok(directory);
        }
        refuse_unless_plain(path)?;
        for name in path.split('/') {
            directory = *self
                .entries(directory)?
                .get(name)
                .ok_or_else(missing_directory)?;
        }
        self.entries(directory).map(|_| directory)
    }

    fn entries(&self, directory: Inode) -> Result<&BTreeMap<String, Inode>, Failure> {
        match &self.nodes[&directory] {
            Node::Directory(entries) => Ok(entries),
            Node::File(_) => Err(missing_directory()),
        }
    }

    fn add(&mut self, directory: Inode, name: &str, node: Node) -> Inode {
        let inode = Inode(self.next_inode);
        self.next_inode += 1;
        self.nodes.insert(inode, node);
        self.change([(directory, name.to_owned(), Some(inode))]);
        inode
    }

    fn change(&mut self, edits: impl IntoIterator<Item = (Inode, String, Option<Inode>)>) {
        let change = edits
            .into_iter()
            .map(|(directory, name, after)| Edit {
                directory,
                name: name.clone(),
                before: self.set(directory, name, after),
            })
            .collect();
        self.changes.push(change);
    }

    fn set(&mut self, directory: Inode, name: String, to: Option<Inode>) -> Option<Inode> {
        let Some(Node::Directory(entries)) = self.nodes.get_mut(&directory) else {
            unreachable!("a directory that is named in a change is kept");
        };
        match to {
            Some(inode) => entries.insert(name, inode),
            None => entries.remove(&name),
        }
    }

    /// Drops all that neither a name, nor a change that could be undone, nor an open file leads to.
    fn forget_unreachable(&mut self, in_use: Vec<Inode>) {
        let changed = self.changes.iter().flatten();
        let mut reached = BTreeSet::new();
        let mut next: Vec<Inode> = changed
            .flat_map(|edit| [Some(edit.directory), edit.before])
            .flatten()
            .chain(in_use)
            .chain([ROOT])
            .collect();
        while let Some(inode) = next.pop() {
            if reached.insert(inode)
                && let Node::Directory(entries) = &self.nodes[&inode]
            {
                next.extend(entries.values());
            }
        }
        self.nodes.retain(|inode, _| reached.contains(inode));
    }
}

fn refuse_unless_plain(path: &str) -> Result<(), Failure> {
    if hstore_tier1::posix::is_plain_path(path) {
        return Ok(());
    }
    Err(failure(
        FileErrorKind::NotFound,
        "the path is not made of plain names",
    ))
}
