//! Port mapping on the home router. Off: it comes with the work on reaching peers behind routers.

use actix::{Actor, Context, Handler, Message, MessageResult};

pub struct Upnp;

impl Actor for Upnp {
    type Context = Context<Self>;
}

/// Asks how the mapping stands, in a word for `status`.
#[derive(Message)]
#[rtype(result = "&'static str")]
pub struct Report;

impl Handler<Report> for Upnp {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Self::Context) -> Self::Result {
        MessageResult("off")
    }
}
