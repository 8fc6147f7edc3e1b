//! Port mapping on the home router. Not yet: this actor reports "off".

use actix::{Actor, Context, Handler, Message, MessageResult};

pub struct Upnp;

impl Actor for Upnp {
    type Context = Context<Self>;
}

/// Asks for the mapping's state, one word for `status`.
#[derive(Message)]
#[rtype(result = "&'static str")]
pub struct Report;

impl Handler<Report> for Upnp {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Self::Context) -> Self::Result {
        MessageResult("off")
    }
}
