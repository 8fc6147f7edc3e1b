//! The framework's own cost: one route, one small JSON, as many threads as the phone book.

use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Serialize;

#[derive(Serialize)]
struct Hello {
    hello: &'static str,
}

pub(crate) async fn serve() -> anyhow::Result<()> {
    let hello = || async { HttpResponse::Ok().json(Hello { hello: "world" }) };
    let server = HttpServer::new(move || App::new().route("/", web::get().to(hello)))
        .workers(std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2)))
        .bind(("127.0.0.1", 0))?;
    for addr in server.addrs() {
        println!("listening on http://{addr}");
    }
    Ok(server.run().await?)
}
