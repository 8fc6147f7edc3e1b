//! `contacts`: list, add, accept, remove, block, unblock, invite, join.

use crate::{
    cli::{ContactSetting, ContactsCommand},
    exit::{Exit, Failure},
    render::Page,
    words,
};
use fyteclub_client::{Client, Contact, Contacts, Invited, PeerId, RelayUse, Standing};
use serde_json::json;
use std::time::{Duration, SystemTime};

pub(crate) async fn run(client: &Client, page: &Page, command: ContactsCommand) -> Result<Exit, Failure> {
    match command {
        ContactsCommand::List => page.show(&Contacts { contacts: client.contacts_list().await? }, list)?,
        ContactsCommand::Add { player, key } => {
            page.show(&client.contacts_add(&player, key.as_ref()).await?, outcome)?;
        }
        ContactsCommand::Accept { who } => page.show(&client.contacts_accept(who).await?, outcome)?,
        ContactsCommand::Remove { who } => {
            client.contacts_remove(who.clone()).await?;
            page.show(&json!({}), |_| format!("{who} is no longer a contact."))?;
        }
        ContactsCommand::Block { who } => page.show(&client.contacts_block(who).await?, outcome)?,
        ContactsCommand::Unblock { who } => {
            client.contacts_unblock(who.clone()).await?;
            page.show(&json!({}), |_| format!("{who} is no longer blocked, and no contact."))?;
        }
        ContactsCommand::Set { who, setting: ContactSetting::Relay { relay } } => {
            page.show(&client.contacts_set_relay(who, relay.into()).await?, reached)?;
        }
        ContactsCommand::Invite => page.show(&client.contacts_invite().await?, invited)?,
        ContactsCommand::Join { link } => page.show(&client.contacts_join(&link).await?, outcome)?,
    }
    Ok(Exit::Done)
}

/// The contact's name, or the key if it has none.
pub(crate) fn name(contact: &Contact) -> String {
    match (&contact.player, &contact.peer_id) {
        (Some(player), _) => player.to_string(),
        (None, Some(key)) => key.to_string(),
        (None, None) => "somebody".to_owned(),
    }
}

fn list(Contacts { contacts }: &Contacts) -> String {
    if contacts.is_empty() {
        return "No contacts yet. `fyteclubctl contacts add \"NAME@WORLD\"` asks a player; `contacts invite` makes a link to send."
            .to_owned();
    }
    let rows: Vec<_> = contacts
        .iter()
        .map(|contact| {
            [
                contact.player.as_ref().map(ToString::to_string).unwrap_or_default(),
                words::standing(contact.standing).to_owned(),
                if contact.online { "online" } else { "" }.to_owned(),
                contact.peer_id.as_ref().map_or_else(|| "key not known yet".to_owned(), ToString::to_string),
                relay(contact).to_owned(),
                doubt(contact).unwrap_or_default(),
            ]
        })
        .collect();
    words::table(0, &rows)
}

/// A warning to read before accepting.
pub(crate) fn doubt(contact: &Contact) -> Option<String> {
    if contact.known_key.is_some() {
        return Some("not this name's known key: confirm it with them another way".to_owned());
    }
    if let Some(other) = &contact.looks_like {
        return Some(format!("not {other}, though the names look alike: confirm it with them another way"));
    }
    let others = (!contact.rivals.is_empty()).then(|| keys(&contact.rivals));
    if let Some(others) = others {
        return Some(match contact.peer_id {
            Some(_) => format!("another key answers to this name: {others}"),
            None => format!("several keys answer: ask them for theirs, and add them with one of {others}"),
        });
    }
    let mixed = contact.mixed_scripts && contact.standing != Standing::Blocked;
    mixed.then(|| {
        "letters of several scripts in one word, or an accent before its first letter: the name may imitate another"
            .to_owned()
    })
}

/// Several keys on one line.
pub(crate) fn keys(keys: &[PeerId]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn outcome(contact: &Contact) -> String {
    let name = name(contact);
    let warning = || doubt(contact).map(|doubt| format!("\nWarning: {doubt}.")).unwrap_or_default();
    match contact.standing {
        Standing::Paired => format!("{name} is a contact: you may see each other's looks.{}", warning()),
        Standing::Requested => format!("{name} is asked, and is a contact once they accept.{}", warning()),
        Standing::Blocked => format!("{name} is blocked: its messages are dropped."),
        Standing::Asking => format!("{name} asks to be a contact."),
        Standing::Unknown => format!("{name} is {}.", words::standing(contact.standing)),
    }
}

fn reached(contact: &Contact) -> String {
    let name = name(contact);
    match contact.relay {
        Some(RelayUse::Only) => format!(
            "{name} is reached over relays only, and is told no address of this machine from now on. What they knew before, they keep."
        ),
        Some(RelayUse::On) => {
            format!("{name} is reached directly, or over a relay where there is no direct way.")
        }
        Some(RelayUse::Off) => format!("{name} is reached directly or not at all."),
        None => format!("{name} is reached as everybody is."),
    }
}

fn relay(contact: &Contact) -> &'static str {
    match contact.relay {
        Some(RelayUse::Only) => "relay only",
        Some(RelayUse::Off) => "no relay",
        Some(RelayUse::On) | None => "",
    }
}

fn invited(invited: &Invited) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_millis(invited.expires).saturating_sub(now);
    // To the hour: some milliseconds less than a day are a day.
    let left = words::duration(left + Duration::from_secs(1));
    format!(
        "{}\n\nSend it to one player, and to nobody else: the first who uses it is your contact. It is valid for {left}.\nThey run: fyteclubctl contacts join LINK",
        invited.link
    )
}
