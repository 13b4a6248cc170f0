//! Destinations that cannot come to anything, told before hours of work go into them. The depot looks again when it
//! publishes, at the real path, and never replaces a file.

use std::path::{Path, PathBuf};

use actix_web::http::StatusCode;
use rushes_shared::artifact::Location;
use rushes_shared::job::Work;

use super::problem::Problem;
use crate::depot;

/// Refuses files outside the roots, and files that are there already. Looks at the disk.
pub(super) fn check(paths: &[String], roots: &[PathBuf]) -> Result<(), Problem> {
    let real: Vec<PathBuf> = roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
    for path in paths {
        let path = Path::new(path);
        let is_set = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        // A set appears in the directory around it, which has to be within the roots as well.
        let within = if is_set { path.parent().unwrap_or(path) } else { path };
        let lies_in = |root: &PathBuf| within.starts_with(root) && path.as_os_str() != root.as_os_str();
        if !roots.iter().chain(&real).any(lies_in) {
            let detail =
                format!("{} is outside the directories into which files may be written", path.display());
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "outside_roots", detail)
                .advice("add its directory to depot.output_roots in coordinator.toml, or leave the destination out and fetch the file"));
        }
        if let Some(file) = file_above(path, &real) {
            let detail = format!(
                "the destination {} cannot be made: {} is a file, not a directory",
                path.display(),
                file.display()
            );
            return Err(Problem::new(StatusCode::CONFLICT, "output_forbidden", detail)
                .advice("choose a destination in a directory"));
        }
        if is_taken(path, &real) && !(is_set && is_empty(path)) {
            let what = if is_set { "is there already and not empty" } else { "exists already" };
            let detail = format!("the destination {} {what}", path.display());
            return Err(Problem::new(StatusCode::CONFLICT, "output_exists", detail).advice(
                "move what is there away or choose another destination; the farm never replaces a file",
            ));
        }
    }
    // Where a link leads out of the roots nobody is told anything before the depot refuses it.
    let told = paths.iter().filter(|path| !leads_out(Path::new(path), &real));
    depot::are_writable(told, roots).map_err(|failure| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, failure.code.as_str(), failure.message)
            .advice(failure.advice)
            .at(Some("destination".to_owned()), None)
    })
}

fn leads_out(path: &Path, real_roots: &[PathBuf]) -> bool {
    let above = path.ancestors().skip(1).find_map(|above| above.canonicalize().ok());
    !above.is_some_and(|real| real_roots.iter().any(|root| real.starts_with(root)))
}

/// What is in the way of a destination's directory because it is no directory itself, within the roots.
fn file_above(path: &Path, real_roots: &[PathBuf]) -> Option<PathBuf> {
    let above = path.ancestors().skip(1).find(|above| above.symlink_metadata().is_ok())?;
    let real = above.canonicalize().ok()?;
    let is_within = real_roots.iter().any(|root| real.starts_with(root));
    (is_within && !real.is_dir()).then(|| above.to_owned())
}

/// Whether something is at a destination. Where links lead out of the roots nobody is told anything.
fn is_taken(path: &Path, real_roots: &[PathBuf]) -> bool {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
    parent.canonicalize().is_ok_and(|dir| {
        real_roots.iter().any(|root| dir.starts_with(root)) && dir.join(name).symlink_metadata().is_ok()
    })
}

/// Whether it is a directory with nothing in it: a set of files may take its place.
fn is_empty(path: &Path) -> bool {
    let is_dir = path.symlink_metadata().is_ok_and(|found| found.is_dir());
    is_dir && path.read_dir().is_ok_and(|mut inside| inside.next().is_none())
}

/// The files and directories into which a job's outputs are to go; directories end with a slash.
pub(super) fn files(work: &Work) -> Vec<String> {
    let file = |place: &Location| match place {
        Location::File(path) => Some(path.clone()),
        Location::Upload(..)
        | Location::Staged(..)
        | Location::Output(..)
        | Location::Set(..)
        | Location::Sequence(..) => None,
    };
    work.places().filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use actix_web::ResponseError as _;

    use super::*;

    /// No user may make files there, not even root.
    #[test]
    fn a_place_that_cannot_be_written_to_is_refused_in_the_depots_words() {
        let roots = [PathBuf::from("/proc/sys")];
        for path in ["/proc/sys/film.mp4", "/proc/sys/made/film.mp4", "/proc/sys/set/"] {
            let problem = check(&[path.to_owned()], &roots).expect_err("not there");
            let said = problem.to_string();
            assert_eq!(problem.status_code().as_u16(), 422, "{said}");
            assert!(said.contains("may not be written by the depot"), "{said}");
        }
    }

    #[test]
    fn only_free_places_within_the_roots_are_taken() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        for name in ["out", "elsewhere"] {
            fs::create_dir(dir.path().join(name)).expect("made");
            fs::write(dir.path().join(name).join("there.mp4"), "x").expect("written");
        }
        symlink(dir.path().join("elsewhere"), dir.path().join("out/away")).expect("linked");
        symlink("nowhere", dir.path().join("out/dangling.mp4")).expect("linked");
        let roots = [dir.path().join("out")];
        let status = |name: &str| check(&[path(name)], &roots).map_err(|p| p.status_code().as_u16());
        assert_eq!(status("out/new.mp4"), Ok(()));
        assert_eq!(status("out/a/b/new.mp4"), Ok(()), "directories are made when it is published");
        assert_eq!(status("out/there.mp4"), Err(409));
        assert_eq!(status("out/there.mp4/below.mp4"), Err(409));
        assert_eq!((status("out"), status("elsewhere/there.mp4/below.mp4")), (Err(422), Err(422)));
        assert_eq!(status("out/dangling.mp4"), Err(409));
        fs::create_dir(dir.path().join("out/empty")).expect("made");
        fs::create_dir_all(dir.path().join("out/full/inner")).expect("made");
        assert_eq!(status("out/empty/"), Ok(()), "a set takes the place of an empty directory");
        assert_eq!(
            (status("out/full/"), status("out/empty"), status("out/there.mp4/")),
            (Err(409), Err(409), Err(409))
        );
        assert_eq!(status("elsewhere/there.mp4"), Err(422));
        assert_eq!(status("out/away/there.mp4"), Ok(()), "left to the depot, which refuses it");
    }
}
