//! The socket, and clients that mean no good.

use super::Stage;
use crate::kit::{Folder, again, is_again, until};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::memory::monitor::{Monitor, Server};
use mlx_wired::memory::{Error, SocketProblem};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn served() -> (Folder, Monitor, Server, Stage) {
    let (folder, stage) = (Folder::new(), Stage::new(RecordingBackend::cpu()));
    let monitor = stage.monitor().start().expect("it starts");
    let server = monitor.serve(folder.at("s")).expect("it is free");
    (folder, monitor, server, stage)
}

fn ask(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).expect("it is served");
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("it is a socket");
    let mut line = String::new();
    stream.read_to_string(&mut line).expect("it ends");
    line
}

#[track_caller]
pub(crate) fn is_served(path: &Path) {
    let line = ask(path);
    let value: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
    assert_eq!(value["schema"], 1);
    assert!(line.ends_with("}\n") && line.matches('\n').count() == 1);
}

#[test]
fn whoever_connects_gets_one_line() {
    let (folder, _monitor, server, stage) = served();
    is_served(&folder.at("s"));
    assert_eq!(server.path(), folder.at("s"));
    stage.active(12345);
    let tells_it = || ask(&folder.at("s")).contains("\"active\":12345");
    until("a line that is made anew", tells_it);
}

#[test]
fn only_the_user_can_connect_and_nothing_else_is_left_there() {
    let (folder, _monitor, server, _stage) = served();
    let found = fs::metadata(folder.at("s")).expect("it is there");
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.names(), ["s"]);
    drop(server);
    assert_eq!(folder.names(), [""; 0], "it goes with the server");
}

/// In a process of its own: what a test forks meanwhile would have the socket open for a moment.
#[test]
fn a_file_that_a_dead_program_left_is_replaced() {
    if !is_again() {
        again("socket::a_file_that_a_dead_program_left_is_replaced", &[]);
        return;
    }
    let folder = Folder::new();
    drop(UnixListener::bind(folder.at("s")).expect("it is free"));
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    let _server = monitor.serve(folder.at("s")).expect("no program serves it");
    is_served(&folder.at("s"));
}

#[test]
fn what_is_served_or_is_no_socket_stays() {
    let (folder, monitor, server, _stage) = served();
    let problem = |path: &Path| match monitor.serve(path) {
        Err(Error::Socket { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    let taken = problem(&folder.at("s"));
    assert!(matches!(taken, SocketProblem::InUse), "{taken:?}");
    is_served(&folder.at("s"));

    let file = folder.at("file");
    fs::write(&file, "mine").expect("it is free");
    let link = folder.at("link");
    symlink(folder.at("s"), &link).expect("it is free");
    for path in [&*file, &*link, folder.path()] {
        let problem = problem(path);
        assert!(matches!(problem, SocketProblem::NotASocket), "{problem:?}");
    }
    assert_eq!(fs::read(&file).expect("it is there"), b"mine");

    let nowhere = problem(&folder.path().join("no/s"));
    assert!(matches!(nowhere, SocketProblem::Io(_)), "{nowhere:?}");
    let long = problem(&folder.path().join("x".repeat(200)).join("\u{1b}"));
    assert!(matches!(long, SocketProblem::Io(_)), "{long:?}");
    drop(server);
    assert!(!folder.at("s").exists());
}

#[test]
fn a_file_of_another_program_is_not_removed() {
    let (folder, _monitor, server, _stage) = served();
    fs::remove_file(folder.at("s")).expect("it is there");
    let _other = UnixListener::bind(folder.at("s")).expect("it is free");
    drop(server);
    assert!(folder.at("s").exists(), "it is the other's");
}

#[test]
fn clients_that_read_nothing_or_send_much_hold_up_nothing() {
    let (folder, monitor, server, _stage) = served();
    let mut idle = Vec::new();
    for client in 0..200 {
        let Ok(mut stream) = UnixStream::connect(folder.at("s")) else {
            // More than the system lets wait.
            continue;
        };
        stream.set_nonblocking(true).expect("it is a socket");
        if client % 2 == 0 {
            let _sent = stream.write(&[b'x'; 4096]);
        }
        idle.push(stream);
        if client % 20 == 0 {
            is_served(&folder.at("s"));
        }
    }
    is_served(&folder.at("s"));
    monitor.read().expect("nothing is held up");
    let begun = Instant::now();
    drop(server);
    assert!(begun.elapsed() < Duration::from_secs(30), "nor its end");
    drop(idle);
}

#[test]
fn a_client_that_sends_first_gets_its_line() {
    let (folder, _monitor, _server, _stage) = served();
    let mut stream = UnixStream::connect(folder.at("s")).expect("it is served");
    // It may be closed already.
    let _sent = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
    let mut line = Vec::new();
    // Sent after it was closed it is reset, but what was told is there.
    let _end = stream.read_to_end(&mut line);
    assert!(line.ends_with(b"}\n"));
}

#[test]
fn it_is_served_for_as_long_as_the_server_lives() {
    let (folder, monitor, server, _stage) = served();
    drop(monitor);
    is_served(&folder.at("s"));
    drop(server);
    UnixStream::connect(folder.at("s")).expect_err("it is gone");
}

#[test]
fn a_path_from_the_present_folder_is_removed_too() {
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    let name = format!("target/mlx-wired-{}", std::process::id());
    fs::create_dir_all("target").expect("it can be made");
    let server = monitor.serve(&name).expect("it is free");
    is_served(Path::new(&name));
    drop(server);
    assert!(!Path::new(&name).exists());
}

/// Two programs of one job that are started together, say: one path, one server, whatever is there before. In a process of
/// its own, as above.
#[test]
fn of_those_that_begin_at_once_one_serves() {
    if !is_again() {
        again("socket::of_those_that_begin_at_once_one_serves", &[]);
        return;
    }
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    let folder = Folder::new();
    for round in 0..100 {
        if round % 2 == 0 {
            drop(UnixListener::bind(folder.at("s")).expect("it is free"));
        }
        let start = Barrier::new(3);
        let mut servers = thread::scope(|scope| {
            let serves = [(); 3].map(|()| {
                scope.spawn(|| {
                    start.wait();
                    monitor.serve(folder.at("s"))
                })
            });
            serves.map(|serves| serves.join().expect("nothing panics"))
        });
        let served = servers.iter().filter(|it| it.is_ok()).count();
        assert_eq!(served, 1, "round {round}: {servers:?}");
        for server in &servers {
            if let Err(error) = server {
                let is_taken = matches!(
                    error,
                    Error::Socket {
                        problem: SocketProblem::InUse,
                        ..
                    }
                );
                assert!(is_taken, "{error:?}");
            }
        }
        is_served(&folder.at("s"));
        servers.sort_by_key(Result::is_ok);
        drop(servers);
        assert_eq!(folder.names(), [""; 0]);
    }
}

/// A program may have asked for what other programs have: to be ended by a pipe that nobody reads. Clients end no program.
#[test]
fn a_client_that_goes_at_once_ends_nothing() {
    if !is_again() {
        again("socket::a_client_that_goes_at_once_ends_nothing", &[]);
        return;
    }
    // SAFETY: no handler is set; no thread of this process waits for the signal.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let (folder, _monitor, _server, _stage) = served();
    for _ in 0..200 {
        drop(UnixStream::connect(folder.at("s")).expect("it is served"));
    }
    is_served(&folder.at("s"));
}
