//! Requests to a router's service and its answers.

use crate::xml::text_of;
use fyteclub_proto::reaching::mapping::{Action, Mapped, Refusal, Reply};
use std::net::{IpAddr, Ipv4Addr};

/// Longest answer that is read.
pub const ANSWER_MAX: usize = 16 << 10;
/// The description in the router's list. Routers cut it at 63 bytes.
const DESCRIPTION: &str = "FyteClub";
/// Longest value of an answer.
const VALUE_MAX: usize = 64;
/// UPnP's code for "no such entry".
const NOT_THERE: u16 = 714;

/// A request, ready to be sent.
pub(crate) struct Request {
    /// The value of the header `SOAPAction`.
    pub(crate) action: String,
    pub(crate) body: String,
}

fn name(action: Action) -> &'static str {
    match action {
        Action::Address => "GetExternalIPAddress",
        Action::Entry { .. } => "GetSpecificPortMappingEntry",
        Action::Add { .. } => "AddPortMapping",
        Action::AddAny { .. } => "AddAnyPortMapping",
        Action::Remove { .. } => "DeletePortMapping",
    }
}

/// `local` is this machine's address in the router's network.
pub(crate) fn write(action: Action, kind: &str, local: Ipv4Addr) -> Request {
    let key = |outside: u16| {
        format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{outside}</NewExternalPort><NewProtocol>UDP</NewProtocol>"
        )
    };
    let mapping = |outside: u16, inside: u16, seconds: u32| {
        let key = key(outside);
        format!(
            "{key}<NewInternalPort>{inside}</NewInternalPort><NewInternalClient>{local}</NewInternalClient><NewEnabled>1</NewEnabled><NewPortMappingDescription>{DESCRIPTION}</NewPortMappingDescription><NewLeaseDuration>{seconds}</NewLeaseDuration>"
        )
    };
    let arguments = match action {
        Action::Address => String::new(),
        Action::Entry { outside } | Action::Remove { outside } => key(outside),
        Action::Add { outside, inside, seconds } => mapping(outside, inside, seconds),
        Action::AddAny { inside, seconds } => mapping(inside, inside, seconds),
    };
    let name = name(action);
    let body = format!(
        "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:{name} xmlns:u=\"{kind}\">{arguments}</u:{name}></s:Body></s:Envelope>\r\n"
    );
    Request { action: format!("\"{kind}#{name}\""), body }
}

/// # Errors
/// The router's code, or an answer that cannot be read.
pub fn read(action: Action, status: u16, body: &[u8]) -> Result<Reply, Refusal> {
    let text = String::from_utf8_lossy(body);
    let value = |name: &str| text_of(&text, name, VALUE_MAX);
    if status != 200 {
        let code = value("errorCode").and_then(|code| code.parse().ok()).ok_or(Refusal::Silent)?;
        return match (action, code) {
            (Action::Entry { .. }, NOT_THERE) => Ok(Reply::Entry(None)),
            (Action::Remove { .. }, NOT_THERE) => Ok(Reply::Removed),
            _ => Err(Refusal::Code(code)),
        };
    }
    // Another page, such as a login form, is no answer.
    value(&format!("{}Response", name(action))).ok_or(Refusal::Silent)?;
    match action {
        Action::Address => address(&value("NewExternalIPAddress").ok_or(Refusal::Silent)?),
        Action::Entry { .. } => Ok(Reply::Entry(entry(value)?)),
        Action::Add { .. } => Ok(Reply::Added),
        Action::AddAny { .. } => {
            let port = value("NewReservedPort").and_then(|port| port.parse().ok());
            port.map(Reply::AddedAt).ok_or(Refusal::Silent)
        }
        Action::Remove { .. } => Ok(Reply::Removed),
    }
}

/// A router without a connection answers with an empty or an unspecified address.
fn address(text: &str) -> Result<Reply, Refusal> {
    if text.is_empty() {
        return Ok(Reply::Address(None));
    }
    let ip: IpAddr = text.parse().map_err(|_| Refusal::Silent)?;
    Ok(Reply::Address((!ip.is_unspecified()).then_some(ip)))
}

fn entry(value: impl Fn(&str) -> Option<String>) -> Result<Option<Mapped>, Refusal> {
    let inside = value("NewInternalPort").and_then(|port| port.parse().ok()).ok_or(Refusal::Silent)?;
    let client = value("NewInternalClient").ok_or(Refusal::Silent)?;
    // Some routers list host names. Such an entry is not ours, because we send an address.
    let client = client.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
    let seconds = value("NewLeaseDuration").and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    // A disabled entry forwards nothing.
    let is_off =
        value("NewEnabled").is_some_and(|enabled| enabled == "0" || enabled.eq_ignore_ascii_case("false"));
    Ok((!is_off).then_some(Mapped { client, inside, seconds }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";
    const ENTRY: Action = Action::Entry { outside: 40_000 };

    fn answered(action: Action, arguments: &str) -> Result<Reply, Refusal> {
        let name = name(action);
        let body = format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"x\"><s:Body><u:{name}Response xmlns:u=\"{KIND}\">{arguments}</u:{name}Response></s:Body></s:Envelope>"
        );
        read(action, 200, body.as_bytes())
    }

    fn refused(action: Action, code: &str) -> Result<Reply, Refusal> {
        let body = format!(
            "<s:Envelope><s:Body><s:Fault><detail><UPnPError><errorCode>{code}</errorCode></UPnPError></detail></s:Fault></s:Body></s:Envelope>"
        );
        read(action, 500, body.as_bytes())
    }

    #[test]
    fn request_asks_for_this_machine_alone() {
        let add = Action::Add { outside: 40_001, inside: 40_000, seconds: 3600 };
        let Request { action, body } = write(add, KIND, [192, 168, 1, 5].into());
        assert_eq!(action, format!("\"{KIND}#AddPortMapping\""));
        let read = |name| text_of(&body, name, 64).expect("an argument");
        assert_eq!(read("NewExternalPort"), "40001");
        assert_eq!(read("NewInternalPort"), "40000");
        assert_eq!(read("NewInternalClient"), "192.168.1.5");
        assert_eq!((read("NewProtocol"), read("NewRemoteHost")), ("UDP".into(), String::new()));
        assert_eq!(read("NewLeaseDuration"), "3600");
    }

    #[test]
    fn address_that_is_none_is_said_so() {
        let read = |text: &str| {
            answered(Action::Address, &format!("<NewExternalIPAddress>{text}</NewExternalIPAddress>"))
        };
        assert_eq!(read("11.22.33.44"), Ok(Reply::Address(Some([11, 22, 33, 44].into()))));
        assert_eq!(read(""), Ok(Reply::Address(None)));
        assert_eq!(read("0.0.0.0"), Ok(Reply::Address(None)));
        assert_eq!(read("none"), Err(Refusal::Silent));
        assert_eq!(answered(Action::Address, ""), Err(Refusal::Silent));
    }

    #[test]
    fn entry_is_read_as_the_router_lists_it() {
        let read = |client: &str, enabled: &str, lease: &str| {
            answered(
                ENTRY,
                &format!(
                    "<NewInternalPort>40000</NewInternalPort><NewInternalClient>{client}</NewInternalClient><NewEnabled>{enabled}</NewEnabled><NewPortMappingDescription>a&b</NewPortMappingDescription>{lease}"
                ),
            )
        };
        let mapped = |client: [u8; 4], seconds| {
            Ok(Reply::Entry(Some(Mapped { client: client.into(), inside: 40_000, seconds })))
        };
        let lease = "<NewLeaseDuration>3599</NewLeaseDuration>";
        assert_eq!(read("192.168.1.5", "1", lease), mapped([192, 168, 1, 5], 3599));
        assert_eq!(read("some-pc", "1", ""), mapped([0; 4], 0));
        assert_eq!(read("192.168.1.5", "0", lease), Ok(Reply::Entry(None)));
        assert_eq!(answered(ENTRY, ""), Err(Refusal::Silent));
    }

    #[test]
    fn refusal_is_the_routers_code() {
        let add = Action::AddAny { inside: 40_000, seconds: 0 };
        assert_eq!(refused(add, "718"), Err(Refusal::Code(718)));
        assert_eq!(refused(ENTRY, "714"), Ok(Reply::Entry(None)));
        assert_eq!(refused(Action::Remove { outside: 1 }, "714"), Ok(Reply::Removed));
        assert_eq!(refused(add, "99999"), Err(Refusal::Silent));
        assert_eq!(answered(add, "<NewReservedPort>40007</NewReservedPort>"), Ok(Reply::AddedAt(40_007)));
    }

    #[test]
    fn page_of_something_else_is_no_answer() {
        assert_eq!(read(ENTRY, 200, b"<html><body>Please log in</body></html>"), Err(Refusal::Silent));
        assert_eq!(read(ENTRY, 404, b"not found"), Err(Refusal::Silent));
        let other = b"<u:AddPortMappingResponse/>";
        assert_eq!(read(Action::Remove { outside: 1 }, 200, other), Err(Refusal::Silent));
    }
}
