//! The actor without a router: switched off, or with a socket on loopback.

use super::*;
use crate::io::keeper::Keeper;
use actix::Addr;
use fyteclub_proto::local::reply::MappingState;

fn actor(dir: &tempfile::TempDir, switches: Switches, listen: &str) -> Addr<Upnp> {
    let listen: SocketAddr = listen.parse().expect("an address");
    let file = MappingsFile::load(&dir.path().join("mappings.json"), Keeper::default());
    Upnp::new(Setup { switches, listen, reachable: Reachable::new(listen), file }).start()
}

#[actix::test]
async fn switched_off_nothing_is_sought() {
    let dir = tempfile::tempdir().expect("a folder");
    let upnp = actor(&dir, Switches { upnp: false, nat_pmp: false }, "0.0.0.0:40000");
    upnp.send(Moved).await.expect("it lives");
    let report = upnp.send(Report).await.expect("it lives");
    assert_eq!((report.state, report.words.as_str()), (MappingState::Off, "off"));
    assert_eq!(report.counts, MappingCounts::default());
    upnp.send(Stop).await.expect("it stops");
}

#[actix::test]
async fn socket_of_this_machine_alone_is_not_mapped() {
    let dir = tempfile::tempdir().expect("a folder");
    let upnp = actor(&dir, Switches { upnp: true, nat_pmp: true }, "127.0.0.1:40000");
    let deadline = Instant::now() + Duration::from_secs(30);
    let report = loop {
        let report = upnp.send(Report).await.expect("it lives");
        if report.state != MappingState::Searching || Instant::now() > deadline {
            break report;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((report.state, report.counts), (MappingState::None, MappingCounts::default()), "{report:?}");
    upnp.send(Stop).await.expect("it stops");
}
