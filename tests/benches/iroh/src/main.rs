//! iroh-blobs as in its documentation: an endpoint, a store of files, a collection, one fetch over a direct connection.
//! No relay, no address lookup, loopback only.
//!
//!     serve STORE FOLDER        imports by reference, prints `ID ADDR HASH`, serves until stdin closes fetch STORE
//! prints `ready`; fetches each `ID ADDR HASH` of stdin, and prints its bytes

use anyhow::{Context, bail};
use iroh::{Endpoint, EndpointAddr, RelayMode, TransportAddr, endpoint::presets, protocol::Router};
use iroh_blobs::{
    BlobsProtocol, Hash, HashAndFormat,
    api::blobs::{AddPathOptions, ImportMode},
    format::collection::Collection,
    store::fs::FsStore,
};
use std::{
    io::{BufRead, Write},
    net::SocketAddr,
    path::Path,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", store, folder] => serve(Path::new(store), Path::new(folder)).await,
        ["fetch", store] => fetch(Path::new(store)).await,
        _ => bail!("serve STORE FOLDER, or fetch STORE"),
    }
}

async fn endpoint() -> anyhow::Result<Endpoint> {
    let builder = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")?;
    Ok(builder.bind().await?)
}

async fn serve(store: &Path, folder: &Path) -> anyhow::Result<()> {
    let store = FsStore::load(store).await?;
    let mut names: Vec<_> = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    names.sort();
    let mut files = Vec::new();
    for path in names {
        let name = path.file_name().context("a file")?.to_string_lossy().into_owned();
        let options =
            AddPathOptions { path, format: iroh_blobs::BlobFormat::Raw, mode: ImportMode::TryReference };
        files.push((name, store.blobs().add_path_with_opts(options).temp_tag().await?));
    }
    let list: Collection = files.iter().map(|(name, tag)| (name.clone(), tag.hash())).collect();
    let tag = list.store(&store).await?;
    let endpoint = endpoint().await?;
    let blobs = BlobsProtocol::new(&store, None);
    let router = Router::builder(endpoint.clone()).accept(iroh_blobs::ALPN, blobs).spawn();
    let addr = endpoint.bound_sockets().into_iter().next().context("a bound socket")?;
    println!("{} {addr} {}", endpoint.id(), tag.hash());
    std::io::stdout().flush()?;
    line().await?;
    router.shutdown().await?;
    Ok(())
}

async fn fetch(store: &Path) -> anyhow::Result<()> {
    let store = FsStore::load(store).await?;
    let endpoint = endpoint().await?;
    println!("ready");
    std::io::stdout().flush()?;
    loop {
        let line = line().await?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [id, addr, hash] = words.as_slice() else { break };
        let addr: SocketAddr = addr.parse()?;
        let peer = EndpointAddr::from_parts(id.parse()?, [TransportAddr::Ip(addr)]);
        let content = HashAndFormat::hash_seq(hash.parse::<Hash>()?);
        let connection = endpoint.connect(peer, iroh_blobs::ALPN).await?;
        let stats = store.remote().fetch(connection, content).await?;
        anyhow::ensure!(store.remote().local(content).await?.is_complete(), "not all has come");
        println!("{}", stats.payload_bytes_read);
        std::io::stdout().flush()?;
    }
    endpoint.close().await;
    Ok(())
}

async fn line() -> anyhow::Result<String> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    Ok(read.await??)
}
