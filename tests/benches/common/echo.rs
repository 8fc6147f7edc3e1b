//! The reference of the local API: a Unix socket with frames of the same sizes, one process a side.

/// Length of the following frame, and of the wanted answer, both `u32` little-endian.
pub(crate) const HEADER: usize = 8;

#[cfg(unix)]
#[allow(unused_imports)]
pub(crate) use unix::{Caller, serve};

#[cfg(unix)]
mod unix {
    use super::{
        super::{roles::Role, town::Process},
        HEADER,
    };
    use fyteclub_proto::number::{index, u32_of};
    use std::{env, io::Write, path::Path};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{UnixListener, UnixStream},
    };

    const PATH_KEY: &str = "FYTECLUB_BENCH_SOCKET";

    pub(crate) async fn serve() -> anyhow::Result<()> {
        let listener = UnixListener::bind(env::var(PATH_KEY)?)?;
        println!("ready");
        std::io::stdout().flush()?;
        let (mut stream, _) = listener.accept().await?;
        let mut bytes = vec![0; 64 << 10];
        loop {
            let mut have = 0;
            let (request, answer) = loop {
                let read = stream.read(bytes.get_mut(have..).unwrap_or_default()).await?;
                if read == 0 {
                    return Ok(());
                }
                have += read;
                if let Some(sizes) = sizes(&bytes)
                    && have >= sizes.0
                {
                    break sizes;
                }
            };
            anyhow::ensure!(have == request && answer <= bytes.len(), "a frame of another size");
            stream.write_all(&bytes[..answer]).await?;
        }
    }

    /// Whole frames, headers included.
    fn sizes(bytes: &[u8]) -> Option<(usize, usize)> {
        let number = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        Some((index(number(0)?), index(number(4)?)))
    }

    pub(crate) struct Caller {
        stream: UnixStream,
        request: Vec<u8>,
        answer: Vec<u8>,
        _server: Process,
    }

    impl Caller {
        /// `request` and `answer` are whole frames' lengths.
        pub(crate) async fn start(socket: &Path, request: usize, answer: usize) -> anyhow::Result<Self> {
            let server = Process::start(Role::Echo.command()?.env(PATH_KEY, socket))?;
            let mut bytes = vec![b'x'; request.max(HEADER)];
            bytes[..4].copy_from_slice(&u32_of(request.max(HEADER)).to_le_bytes());
            bytes[4..HEADER].copy_from_slice(&u32_of(answer).to_le_bytes());
            let stream = UnixStream::connect(socket).await?;
            Ok(Self { stream, request: bytes, answer: vec![0; answer], _server: server })
        }

        pub(crate) async fn round_trip(&mut self) -> anyhow::Result<()> {
            self.stream.write_all(&self.request).await?;
            self.stream.read_exact(&mut self.answer).await?;
            Ok(())
        }
    }
}

#[cfg(not(unix))]
pub(crate) async fn serve() -> anyhow::Result<()> {
    anyhow::bail!("there is no Unix socket here")
}
