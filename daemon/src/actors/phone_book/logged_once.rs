//! What the log says of one phone book: a cause that fails both the registration and the live connection is logged once.

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Info(String),
    Warn(String),
}

#[derive(Debug)]
pub(super) struct Told {
    /// Whether this daemon registers.
    registers: bool,
    /// How the last registration ended; `None` before the first one.
    registration: Option<Result<(), String>>,
    /// Why there is no live connection, and whether that was logged.
    trouble: Option<(String, bool)>,
}

impl Told {
    pub(super) fn new(registers: bool) -> Self {
        Self { registers, registration: None, trouble: None }
    }

    /// A registration has ended: with what error, if any. Returns what is to be logged.
    pub(super) fn registered(&mut self, error: Option<String>) -> Vec<Line> {
        let result = error.map_or(Ok(()), Err);
        let changed = self.registration.as_ref().map(Result::is_ok) != Some(result.is_ok());
        let line = match &result {
            Ok(()) => Line::Info("answers".to_owned()),
            Err(error) => Line::Warn(error.clone()),
        };
        self.registration = Some(result);
        changed.then_some(line).into_iter().chain(self.untold()).collect()
    }

    /// The live connection has ended, or could not be opened.
    pub(super) fn down(&mut self, cause: &str) -> Option<Line> {
        if self.trouble.as_ref().is_none_or(|(known, _)| known != cause) {
            self.trouble = Some((cause.to_owned(), false));
        }
        self.untold()
    }

    /// The live connection is open.
    pub(super) fn up(&mut self) {
        self.trouble = None;
    }

    /// The trouble, if it was not logged and the registration's error does not say the same.
    fn untold(&mut self) -> Option<Line> {
        let (cause, told) = self.trouble.as_mut().filter(|(_, told)| !told)?;
        let says_more = match &self.registration {
            // The first registration ends soon.
            None => !self.registers,
            Some(Ok(())) => true,
            // It may go on with details.
            Some(Err(error)) => !error.starts_with(cause.as_str()),
        };
        *told = says_more;
        says_more.then(|| Line::Info(cause.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWAY: &str = "the phone book does not answer";

    fn refused() -> Option<String> {
        Some(format!("{AWAY} (connection refused)"))
    }

    #[test]
    fn one_cause_of_both_is_logged_once() {
        let warned = vec![Line::Warn(refused().expect("an error"))];
        // Either may end first.
        let mut told = Told::new(true);
        assert_eq!((told.down(AWAY), told.registered(refused())), (None, warned.clone()));
        let mut told = Told::new(true);
        assert_eq!((told.registered(refused()), told.down(AWAY)), (warned, None));
        assert_eq!((told.registered(refused()), told.down(AWAY)), (vec![], None));
    }

    #[test]
    fn another_cause_is_logged_too() {
        let (answers, blocked) = (Line::Info("answers".into()), Line::Info("WebSockets are blocked".into()));
        let mut told = Told::new(true);
        assert_eq!(told.down("WebSockets are blocked"), None);
        assert_eq!(told.registered(None), [answers.clone(), blocked.clone()]);
        assert_eq!((told.down("WebSockets are blocked"), told.registered(None)), (None, vec![]));
        told.up();
        assert_eq!(told.down("WebSockets are blocked"), Some(blocked));
        let mut told = Told::new(true);
        told.registered(refused());
        told.down(AWAY);
        assert_eq!(told.registered(None), [answers, Line::Info(AWAY.into())], "it is still down");
    }

    #[test]
    fn nameless_daemon_logs_the_connection_alone() {
        assert_eq!(Told::new(false).down(AWAY), Some(Line::Info(AWAY.into())));
    }
}
