//! Fetches pages one after the other and all at once, with an ordinary HTTP client on the runtime's sockets.
//!
//! ```python
//! gevent.joinall([gevent.spawn(pa_web_page, url) for url in urls])
//! ```
//!
//! Without addresses on the command line it serves some pages itself, on loopback, each after a delay as of a slow
//! network.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use examples::{Arguments, Output, http_client};
use leveret_runtime::net::{StreamServer, TcpStream};
use leveret_runtime::{join_all, sleep, spawn, time};
use ureq::Agent;

const USAGE: &str = "crawler [http://...]: fetches pages one after the other, then all at once

  --delay-ms N   how long the pages of its own take (200)

Built with `--features https` it fetches https:// addresses too.";

/// Sizes of the pages that the program serves itself.
const OWN_PAGES: [usize; 3] = [12_000, 48_000, 512];

/// The longest head of a request that the own server reads.
const HEAD_MAX: u64 = 8 * 1024;

/// The largest page that is taken.
const PAGE_MAX: u64 = 64 * 1024 * 1024;

fn fetch(agent: &Agent, url: &str, out: &Output) {
    out.line(format_args!("GET url {url}"));
    let page = agent.get(url).call();
    match page.and_then(|mut page| page.body_mut().with_config().limit(PAGE_MAX).read_to_vec()) {
        Ok(data) => out.line(format_args!("{} bytes received from {url}.", data.len())),
        Err(error) => out.line(format_args!("{url}: {error}")),
    }
}

/// Prints what it fetches; answers how long it took one after the other, and all at once.
pub(crate) fn crawl(urls: &[String], out: &Output) -> (Duration, Duration) {
    let agent = http_client::agent();
    let start = time::now();
    urls.iter().for_each(|url| fetch(&agent, url, out));
    let sequential = time::now() - start;
    out.line(format_args!("time cost: {:.3} s", sequential.as_secs_f64()));

    let start = time::now();
    let fetches = urls.iter().map(|url| {
        let (agent, url, out) = (agent.clone(), url.clone(), out.clone());
        spawn(move || fetch(&agent, &url, &out))
    });
    for fetched in join_all(fetches.collect::<Vec<_>>()) {
        fetched.unwrap_or_else(|error| error.resume());
    }
    let concurrent = time::now() - start;
    out.line(format_args!("time cost of all at once: {:.3} s", concurrent.as_secs_f64()));
    (sequential, concurrent)
}

/// Serves pages of `/SIZE` bytes, each after a delay.
fn serve_page(mut stream: TcpStream, delay: Duration) -> io::Result<()> {
    let mut head = BufReader::new((&stream).take(HEAD_MAX)).lines();
    let request = head.next().transpose()?.unwrap_or_default();
    for line in head {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let Ok(size) = path.trim_start_matches('/').parse::<usize>() else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    };
    sleep(delay);
    let page = vec![b'*'; size.min(PAGE_MAX as usize)];
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", page.len())?;
    stream.write_all(&page)
}

/// Crawls pages that the program serves itself.
pub(crate) fn main_with(out: &Output, delay: Duration) -> io::Result<(Duration, Duration)> {
    let server = StreamServer::bind("127.0.0.1:0")?;
    let handle = server.handle();
    let serving = spawn(move || server.serve_local(move |stream, _peer| drop(serve_page(stream, delay))));
    let urls = OWN_PAGES.map(|size| format!("http://{}/{size}", handle.local_addr()));
    let times = crawl(&urls, out);
    handle.stop(Duration::from_secs(1));
    serving.join().unwrap_or_else(|error| error.resume())?;
    Ok(times)
}

fn main() -> io::Result<()> {
    let arguments = Arguments::of_process(USAGE, &["--delay-ms="]);
    let (urls, delay) = (arguments.others.clone(), Duration::from_millis(arguments.value("--delay-ms", 200)));
    let ended = leveret_runtime::run(move || {
        let out = Output::stdout();
        match urls.is_empty() {
            true => main_with(&out, delay),
            false => Ok(crawl(&urls, &out)),
        }
    });
    ended.expect("a crawler waits for its sockets").map(drop)
}
