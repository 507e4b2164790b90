//! Pythons with pika: the newest one, and 0.10.0, whose signatures the tutorials of its day use.
//!
//! Each is a virtual environment that is made on first use and kept. A lock file lets several test processes ask at the
//! same time; a stamp written last says that an environment is complete, so that an interrupted one is made anew.
//!
//! pika 0.10.0 is older than today's Python. Two things have gone since and are mended in the installed copy: `async` became a
//! keyword (only the libev adapter says it, and pika does without adapters that cannot be imported), and
//! `collections.Callable` moved.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::target_dir;

/// Raise it when the recipe changes: environments with another stamp are made anew.
const RECIPE: u32 = 1;

/// A generation of pika, with its own signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pika {
    /// 0.10.0: `basic_consume(callback, queue=..., no_ack=True)`, `exchange_declare(exchange=..., type='fanout')`.
    Old,
    /// The newest 1.x: `basic_consume(queue=..., on_message_callback=callback, auto_ack=True)`.
    New,
}

impl Pika {
    /// A command that runs Python with this pika, unbuffered and without leaving compiled files beside the programs.
    ///
    /// # Panics
    /// When there is no Python 3 or the environment cannot be made.
    pub fn python(self) -> Command {
        static ENVIRONMENTS: [OnceLock<PathBuf>; 2] = [const { OnceLock::new() }; 2];
        let environment = ENVIRONMENTS[self as usize].get_or_init(|| self.prepare());
        let mut command = Command::new(environment.join("bin/python"));
        command.args(["-u", "-B"]).env("PYTHONWARNINGS", "ignore").env("PYTHONIOENCODING", "utf-8");
        command
    }

    /// `pika_old` or `pika_new`: also the name of the folder with programs in its style.
    pub fn name(self) -> &'static str {
        match self {
            Pika::Old => "pika_old",
            Pika::New => "pika_new",
        }
    }

    fn requirement(self) -> &'static str {
        match self {
            Pika::Old => "pika==0.10.0",
            Pika::New => "pika>=1.3",
        }
    }

    fn prepare(self) -> PathBuf {
        let parent = env::var_os("LEVERET_TEST_VENVS").map_or_else(|| target_dir().join("venvs"), PathBuf::from);
        fs::create_dir_all(&parent).unwrap_or_else(|error| panic!("cannot create {}: {error}", parent.display()));
        let lock = parent.join(format!("{}.lock", self.name()));
        let lock = File::create(&lock).unwrap_or_else(|error| panic!("cannot create {}: {error}", lock.display()));
        lock.lock().unwrap_or_else(|error| panic!("cannot lock {}: {error}", parent.display()));
        let environment = parent.join(self.name());
        let (stamp, text) = (environment.join("complete"), format!("{} recipe {RECIPE}\n", self.requirement()));
        if fs::read_to_string(&stamp).is_ok_and(|found| found == text) {
            return environment;
        }
        self.install(&environment);
        fs::write(&stamp, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", stamp.display()));
        environment
    }

    fn install(self, environment: &Path) {
        let python = env::var_os("PYTHON").unwrap_or_else(|| OsString::from("python3"));
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(environment));
        let pip = ["-m", "pip", "install", "--quiet", self.requirement()];
        run(Command::new(environment.join("bin/python")).args(pip));
        if self == Pika::Old {
            mend(&package_dir(environment));
        }
    }
}

/// Where the environment's Python finds pika.
fn package_dir(environment: &Path) -> PathBuf {
    let script = "import sysconfig; print(sysconfig.get_paths()['purelib'])";
    let printed = run(Command::new(environment.join("bin/python")).args(["-c", script]));
    Path::new(printed.trim()).join("pika")
}

/// Makes pika 0.10.0 importable on today's Python.
fn mend(pika: &Path) {
    let libev = pika.join("adapters/libev_connection.py");
    fs::remove_file(&libev).unwrap_or_else(|error| panic!("cannot remove {}: {error}", libev.display()));
    let utils = pika.join("utils.py");
    let text = fs::read_to_string(&utils).unwrap_or_else(|error| panic!("cannot read {}: {error}", utils.display()));
    let mended = text.replace("isinstance(handle, collections.Callable)", "callable(handle)");
    assert_ne!(mended, text, "{}: not the text of pika 0.10.0", utils.display());
    fs::write(&utils, mended).unwrap_or_else(|error| panic!("cannot write {}: {error}", utils.display()));
}

/// Runs a command to its end and returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!(
            "cannot run {command:?}: {error}\nThe conformance tests run foreign clients and need Python 3.8 or newer \
             with its venv module: install python3, or name one in the variable PYTHON"
        )
    });
    let (printed, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}:\n{printed}{complaint}", output.status);
    printed.into_owned()
}
