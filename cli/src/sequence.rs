//! Image sequences on this machine: the files that a pattern such as `shot.%04d.png` names, and all of them as one that can be
//! sent.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rushes_shared::sequence::{Member, Pack, Pattern};

use crate::fault::Fault;

/// Pictures as one archive, which is made while it is read.
pub(crate) type Pictures = Pack<File, Box<dyn FnMut(usize) -> io::Result<File>>>;

/// The pattern that a path is; `None` for the path of a file that is there, and for any other.
pub(crate) fn pattern(path: &Path) -> Option<Pattern> {
    let pattern = path.file_name().and_then(|name| Pattern::of(name.to_str()?))?;
    (!path.exists()).then_some(pattern)
}

/// The path from the root on, of a file or of a pattern's files.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Fault> {
    let fails = |e| Fault::local(format!("cannot read {}", path.display()), e);
    match (pattern(path), path.file_name()) {
        (Some(_), Some(name)) => Ok(fs::canonicalize(directory(path)).map_err(fails)?.join(name)),
        _ => fs::canonicalize(path).map_err(fails),
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The pictures of a pattern, as one archive. Says what is missing before anything is read.
pub(crate) fn pictures(path: &Path, pattern: &Pattern) -> Result<Pictures, Fault> {
    let fails = |e| Fault::local(format!("cannot read {}", path.display()), e);
    let directory = directory(path).to_owned();
    let listed = fs::read_dir(&directory).map_err(fails)?.filter_map(Result::ok);
    let names = pattern.of_names(listed.filter_map(|entry| entry.file_name().into_string().ok()));
    let names = names.map_err(|bad| Fault::Usage(format!("{}: {bad}", path.display())))?;
    let member = |name: &String| {
        let about = fs::metadata(directory.join(name)).map_err(fails)?;
        if !about.is_file() {
            return Err(Fault::Usage(format!("{} is not a file", directory.join(name).display())));
        }
        Ok(Member { name: name.clone(), size: about.len() })
    };
    let members = names.iter().map(member).collect::<Result<_, Fault>>()?;
    let open = move |number: usize| -> io::Result<File> {
        let name = names.get(number).ok_or(io::ErrorKind::NotFound)?;
        File::open(directory.join(name))
    };
    Ok(Pack::new(members, Box::new(open)))
}
