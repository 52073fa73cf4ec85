//! The trivial server on stdin and stdout, one message a line, until its input ends. `echo [TOOLS]`.

use std::io::{BufRead as _, BufReader, Write as _};

use wasmgate_echo::{Echo, Said};

fn main() -> std::io::Result<()> {
    let tools = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(2);
    let echo = Echo { tools, is_modern: false };
    let mut input = BufReader::with_capacity(64 << 10, std::io::stdin().lock());
    let mut output = std::io::stdout().lock();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let answer = match echo.answer(&line) {
            Said::Nothing => String::new(),
            Said::Message(message) => message + "\n",
            Said::Big { start, letters, end } => format!("{start}{}{end}\n", "x".repeat(letters)),
        };
        output.write_all(answer.as_bytes())?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}
