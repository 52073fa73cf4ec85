//! The only program of the test image: says what it can see, and misbehaves when asked.

use std::io::{BufRead, Read, Write};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("serve") => serve(args[1].parse().unwrap(), args[2].parse().unwrap()),
        Some("fail") => {
            eprintln!("cannot go on: {}", args[1]);
            std::process::exit(args[2].parse().unwrap());
        }
        _ => converse(),
    }
}

/// One answer a line, on stdout.
fn converse() {
    eprintln!("probe is up");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb {
            "echo" => println!("{rest}"),
            "big" => println!("{}", "x".repeat(rest.parse().unwrap())),
            "say" => eprintln!("{rest}"),
            "exit" => std::process::exit(rest.parse().unwrap()),
            "read" => println!(
                "{}",
                std::fs::read_to_string(rest).unwrap_or_else(|e| e.to_string()).replace('\n', "|")
            ),
            "write" => println!(
                "{}",
                std::fs::write(rest, "x").map_or_else(|e| e.to_string(), |()| "written".into())
            ),
            "env" => println!("{}", std::env::var(rest).unwrap_or_default()),
            "dial" => println!(
                "{}",
                std::net::TcpStream::connect(rest).map_or_else(|e| e.to_string(), |_| "up".into())
            ),
            "eat" => {
                let mut all = Vec::new();
                loop {
                    all.push(vec![1_u8; 1 << 20]);
                }
            }
            "hang" => loop {
                std::thread::park();
            },
            other => eprintln!("what is {other}?"),
        }
    }
    eprintln!("end of input");
}

/// HTTP on a port, after some milliseconds.
fn serve(port: u16, after: u64) {
    println!("will serve on {port}");
    std::thread::sleep(std::time::Duration::from_millis(after));
    let listener = std::net::TcpListener::bind(("0.0.0.0", port)).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut head = [0; 4096];
        let read = stream.read(&mut head).unwrap();
        let request = String::from_utf8_lossy(&head[..read]).lines().next().unwrap_or_default().to_owned();
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{request}",
            request.len()
        );
    }
}
