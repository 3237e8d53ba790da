//! As much of an HTTP server as takes what is sent.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

/// Serves each connection to a free port on a thread of its own, for as long as the process runs. Its address.
///
/// # Panics
/// Without a free port.
#[must_use]
pub fn listen(serve: impl Fn(&TcpStream) -> std::io::Result<()> + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            // Whoever hangs up has said what there was to say.
            std::thread::spawn(move || serve(&stream).unwrap_or_default());
        }
    });
    format!("http://{address}/")
}

/// When the first byte of the next request was here, and its body. `None` at the end of the connection.
///
/// # Errors
/// When it ends within a request.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub fn read_request(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<(Instant, Vec<u8>)>> {
    if reader.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let (first, mut length, mut line) = (Instant::now(), 0, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((first, body)))
}
