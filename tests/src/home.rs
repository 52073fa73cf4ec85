//! A home directory of its own for commands: what they keep there is theirs alone, and goes away with the test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::build;
use crate::gateway::{Ended, wasmgate};

/// A home directory.
pub struct Home(PathBuf);

impl Home {
    #[expect(clippy::new_without_default, reason = "a test makes one; nothing asks for a default")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wasmgate-home-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it and gives its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("below the home")).expect("a directory");
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Runs a command at home.
    pub async fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, &[]).await
    }

    /// The same, with more variables.
    pub async fn run_with(&self, args: &[&str], more: &[(&str, &str)]) -> Ended {
        let home = self.0.to_str().expect("UTF-8");
        // Compiled plugins are shared by all tests: compiling them again takes seconds in a debug build.
        let cache = build::wasmgate().with_file_name("suite-cache");
        let cache = cache.to_str().expect("UTF-8");
        let own = [("HOME", home), ("XDG_DATA_HOME", ""), ("DOCKER_CONFIG", ""), ("XDG_CACHE_HOME", cache)];
        wasmgate(args, &[&own, more].concat()).await
    }

    /// The one line that a command prints.
    pub async fn line(&self, args: &[&str]) -> String {
        let ended = self.run(args).await;
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}{}", ended.stdout, ended.stderr);
        let lines: Vec<&str> = ended.stdout.lines().collect();
        assert_eq!(lines.len(), 1, "{args:?} prints one line: {}", ended.stdout);
        lines[0].to_owned()
    }

    /// What a command prints as JSON.
    pub async fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(args).await;
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}{}", ended.stdout, ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("not JSON ({e}): {}", ended.stdout))
    }

    /// What a command complains of after its output, with its exit code.
    pub async fn complaint_after_output(&self, args: &[&str]) -> (Option<i32>, String) {
        let ended = self.run(args).await;
        (ended.status.code(), ended.stderr)
    }

    /// What a command complains of, with its exit code.
    pub async fn complaint(&self, args: &[&str]) -> (Option<i32>, String) {
        let ended = self.run(args).await;
        assert_eq!(ended.stdout, "", "{args:?} prints nothing: {}", ended.stderr);
        (ended.status.code(), ended.stderr)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
