//! Exit codes, which are a contract with scripts, and the one sentence of a failure.

use fyteclub_client::Error;
use std::{io, process::ExitCode};

/// The codes as `--help` lists them.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done; `watch` also when the daemon stops or Ctrl-C is pressed
  1    the daemon refused the request or failed at it, or `cache verify` could not read every file
  2    the command line is wrong
  3    the daemon is not running, or cannot be reached
  4    not now: no such player online, or no path to it; try again later
  5    `cache verify` or `cache move` found damaged files and removed them
  6    `doctor` found what keeps players from being reached
  130  interrupted with Ctrl-C; the daemon keeps running";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Refused = 1,
    Usage = 2,
    Unreachable = 3,
    NotNow = 4,
    Damaged = 5,
    Found = 6,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        #[expect(clippy::as_conversions, reason = "the number that it is declared with")]
        Self::from(exit as u8)
    }
}

#[derive(Debug)]
pub(crate) enum Failure {
    Client(Error),
    /// Standard output could not be written.
    Output(io::Error),
}

impl Failure {
    /// `None` if the reader of our output has left, as `| head` does.
    pub(crate) fn sentence(&self) -> Option<String> {
        match self {
            Self::Client(error) => Some(error.to_string()),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Output(error) => {
                Some(format!("the output could not be written ({error}); check where it goes"))
            }
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Client(Error::Fault(fault)) if fault.retryable => Exit::NotNow,
            Self::Client(Error::Endpoint { .. } | Error::Path { .. }) => Exit::Usage,
            Self::Client(
                Error::NotRunning { .. }
                | Error::NoPermission { .. }
                | Error::Unresponsive { .. }
                | Error::Lost,
            ) => Exit::Unreachable,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Client(_) | Self::Output(_) => Exit::Refused,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_client::{Fault, FaultCode};

    #[test]
    fn retryable_faults_have_their_own_exit_code() {
        let exit = |code| Failure::from(Error::Fault(Fault::new(code, "m"))).exit();
        assert_eq!(exit(FaultCode::NotFound), Exit::NotNow);
        assert_eq!(exit(FaultCode::PeerUnreachable), Exit::NotNow);
        assert_eq!(exit(FaultCode::BadMod), Exit::Refused);
        assert_eq!(Failure::from(Error::Lost).exit(), Exit::Unreachable);
    }

    #[test]
    fn every_code_is_in_the_help() {
        use Exit::*;
        for exit in [Done, Refused, Usage, Unreachable, NotNow, Damaged, Found, Interrupted] {
            #[expect(clippy::as_conversions, reason = "the number that it is declared with")]
            let code = exit as u8;
            assert!(
                HELP.lines().any(|line| line.split_whitespace().next() == Some(&code.to_string())),
                "{code}"
            );
        }
    }

    #[test]
    fn closed_output_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.sentence(), failure.exit()), (None, Exit::Done));
    }
}
