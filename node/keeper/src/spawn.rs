//! The one place with unsafe code: starting a process, and the signals that tell of its end.
//!
//! A child is started by `clone(CLONE_VM | CLONE_VFORK)`: it borrows the keeper's memory on a stack of
//! its own, and the keeper stands still until it has executed its program or given up. So a start
//! costs the same however large the keeper is, and the child can say why it gave up by writing into
//! the memory that both see. Between the two calls the child makes system calls only: everything it
//! needs is prepared before, nothing is allocated, locked or freed.

#![expect(
    unsafe_code,
    reason = "starting a process without copying the parent, and waiting for signals as a descriptor, \
              have no safe interface; all of it is in this module"
)]

use std::ffi::{CString, NulError};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_char, c_int, c_long, c_void};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::limits;
use crate::process::MARKER;
use crate::protocol::Spec;

/// What a shell-less script is given to, as `execvp` does it.
const SHELL: &std::ffi::CStr = c"/bin/sh";
/// Where programs are looked for if the task's environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Which step of a start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Clone,
    Output,
    Directory,
    User,
    Exec,
}

/// Why no process runs.
#[derive(Debug)]
pub(crate) struct SpawnError {
    pub step: Step,
    pub error: io::Error,
}

/// The strings of a spec, as the kernel wants them.
#[derive(Debug)]
pub(crate) struct Prepared {
    programs: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    directory: CString,
    identity: Option<(u32, u32, Vec<u32>)>,
    umask: u32,
}

impl Prepared {
    /// # Errors
    /// A string has a NUL byte.
    pub fn new(key: &str, spec: &Spec) -> Result<Prepared, NulError> {
        let mut environment = Vec::with_capacity(spec.environment.len() + 1);
        for (name, value) in &spec.environment {
            environment.push(CString::new(format!("{name}={value}"))?);
        }
        environment.push(CString::new(format!("{MARKER}={key}"))?);
        let mut arguments = Vec::with_capacity(spec.arguments.len());
        for argument in &spec.arguments {
            arguments.push(CString::new(argument.as_str())?);
        }
        Ok(Prepared {
            programs: programs(spec)?,
            arguments,
            environment,
            directory: CString::new(spec.directory.as_str())?,
            identity: spec
                .identity
                .as_ref()
                .map(|i| (i.uid, i.gid, i.groups.clone())),
            umask: spec.umask,
        })
    }
}

/// Where the program may be, in the order in which it is tried.
fn programs(spec: &Spec) -> Result<Vec<CString>, NulError> {
    if spec.program.contains('/') {
        return Ok(vec![CString::new(spec.program.as_str())?]);
    }
    let path = spec
        .environment
        .iter()
        .rev()
        .find(|(name, _)| name == "PATH")
        .map_or(DEFAULT_PATH, |(_, value)| value);
    path.split(':')
        .map(|folder| {
            let folder = if folder.is_empty() { "." } else { folder };
            CString::new(format!("{folder}/{}", spec.program))
        })
        .collect()
}

/// Everything the child touches, in the parent's memory.
struct Child {
    programs: Vec<*const c_char>,
    arguments: Vec<*const c_char>,
    /// The arguments for a program without a format of its own: the shell, the program (the second
    /// slot, filled by the child), and its arguments without its name.
    script: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    directory: *const c_char,
    descriptors: [c_int; 3],
    identity: Option<(u32, u32, Vec<u32>)>,
    umask: libc::mode_t,
    failed_step: AtomicI32,
    failed_error: AtomicI32,
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    let mut pointers: Vec<*const c_char> = strings.iter().map(|s| s.as_ptr()).collect();
    pointers.push(ptr::null());
    pointers
}

/// Starts a process in a session and group of its own. `input`, `output` and `errors` become its
/// first three descriptors; everything else that the keeper has open is close-on-exec.
///
/// # Errors
/// [`SpawnError`]; there is then no process, and nothing to reap.
pub(crate) fn spawn(
    prepared: &Prepared,
    input: &OwnedFd,
    output: &OwnedFd,
    errors: &OwnedFd,
) -> Result<Pid, SpawnError> {
    let mut script = vec![SHELL.as_ptr(), ptr::null()];
    script.extend(pointers(prepared.arguments.get(1..).unwrap_or_default()));
    let mut child = Child {
        programs: pointers(&prepared.programs),
        arguments: pointers(&prepared.arguments),
        script,
        environment: pointers(&prepared.environment),
        directory: prepared.directory.as_ptr(),
        descriptors: [input.as_raw_fd(), output.as_raw_fd(), errors.as_raw_fd()],
        identity: prepared.identity.clone(),
        umask: prepared.umask,
        failed_step: AtomicI32::new(0),
        failed_error: AtomicI32::new(0),
    };
    assert!(
        child.descriptors.iter().all(|&fd| fd > 2),
        "the keeper's own first three descriptors are open"
    );
    let pid = clone_child(&mut child).map_err(|error| SpawnError {
        step: Step::Clone,
        error,
    })?;
    let step = match child.failed_step.load(Ordering::Relaxed) {
        0 => return Ok(pid),
        OUTPUT => Step::Output,
        DIRECTORY => Step::Directory,
        USER => Step::User,
        _ => Step::Exec,
    };
    // It has called `_exit`; only its record is left.
    let reaped = waitpid(Some(pid), WaitOptions::empty());
    assert!(reaped.is_ok(), "a child that gave up can be reaped");
    let error = io::Error::from_raw_os_error(child.failed_error.load(Ordering::Relaxed));
    Err(SpawnError { step, error })
}

fn clone_child(child: &mut Child) -> io::Result<Pid> {
    // 16 bytes is the alignment that every ABI of ours wants of a stack.
    let mut stack = vec![0_u128; limits::CHILD_STACK_BYTES / size_of::<u128>()];
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the sets are written by `sigfillset` and `sigprocmask` before they are read. The stack
    // and `child` outlive the call, as CLONE_VFORK holds this thread until the child has executed or
    // exited; the keeper has no other thread that could touch them meanwhile. All signals are blocked
    // so that no handler of this process runs in the child on the borrowed memory.
    let pid = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let top = stack.as_mut_ptr().add(stack.len());
        let pid = libc::clone(
            child_main,
            top.cast::<c_void>(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            ptr::from_mut(child).cast::<c_void>(),
        );
        let error = io::Error::last_os_error();
        libc::sigprocmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        if pid < 0 {
            return Err(error);
        }
        pid
    };
    Ok(Pid::from_raw(pid).expect("a child has a number above 0"))
}

const OUTPUT: c_int = 1;
const DIRECTORY: c_int = 2;
const USER: c_int = 3;
const EXEC: c_int = 4;

/// What the child does. It runs on memory that belongs to the stopped parent: system calls only.
extern "C" fn child_main(argument: *mut c_void) -> c_int {
    // SAFETY: `argument` is the `Child` that the stopped parent holds; nobody else uses it now.
    let child = unsafe { &mut *argument.cast::<Child>() };
    // SAFETY: all pointers in `child` are to strings and arrays that the stopped parent holds, arrays
    // end with a null; each call is a plain system call, or a wrapper around one that takes no lock.
    unsafe {
        libc::setsid();
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::umask(child.umask);
        for (target, &descriptor) in child.descriptors.iter().enumerate() {
            if libc::dup2(descriptor, target as c_int) < 0 {
                give_up(child, OUTPUT);
            }
        }
        if libc::chdir(child.directory) < 0 {
            give_up(child, DIRECTORY);
        }
        if let Some((uid, gid, groups)) = &child.identity
            && !become_user(*uid, *gid, groups)
        {
            give_up(child, USER);
        }
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        execute(child);
        give_up(child, EXEC)
    }
}

/// Changes to a user, by bare system calls: the wrappers of the C library change all threads of a
/// process, which they believe to be the parent.
///
/// # Safety
/// For the child only.
unsafe fn become_user(uid: u32, gid: u32, groups: &[u32]) -> bool {
    let (uid, gid) = (c_long::from(uid), c_long::from(gid));
    // SAFETY: plain system calls; the list of groups is alive in the parent.
    unsafe {
        libc::syscall(libc::SYS_setgroups, groups.len() as c_long, groups.as_ptr()) == 0
            && libc::syscall(libc::SYS_setresgid, gid, gid, gid) == 0
            && libc::syscall(libc::SYS_setresuid, uid, uid, uid) == 0
    }
}

/// Tries all places of the program; returns if none can be executed, with the error that says most.
///
/// # Safety
/// For the child only.
unsafe fn execute(child: &mut Child) {
    let mut denied = false;
    let (arguments, environment) = (child.arguments.as_ptr(), child.environment.as_ptr());
    for &program in &child.programs {
        if program.is_null() {
            break;
        }
        // SAFETY: the arrays end with a null and live in the parent; `script` has two slots at least.
        unsafe {
            libc::execve(program, arguments, environment);
            match *libc::__errno_location() {
                libc::ENOEXEC => {
                    *child.script.as_mut_ptr().add(1) = program;
                    libc::execve(SHELL.as_ptr(), child.script.as_ptr(), environment);
                    return;
                }
                libc::EACCES => denied = true,
                libc::ENOENT | libc::ENOTDIR => {}
                _ => return,
            }
        }
    }
    if denied {
        // SAFETY: the thread's own error number.
        unsafe { *libc::__errno_location() = libc::EACCES };
    }
}

/// Says at which step and why, and ends the child.
///
/// # Safety
/// For the child only.
unsafe fn give_up(child: &Child, step: c_int) -> ! {
    // SAFETY: the thread's own error number, and a call that does not return.
    unsafe {
        let error = *libc::__errno_location();
        child.failed_error.store(error, Ordering::Relaxed);
        child.failed_step.store(step, Ordering::Relaxed);
        libc::_exit(127)
    }
}

/// Makes close-on-exec whatever this process was given open, the first three descriptors apart: no
/// task is to hold what its keeper's parent forgot to close.
pub(crate) fn keep_inherited_descriptors() -> io::Result<()> {
    // SAFETY: a plain system call that changes flags only; nobody relies on a descriptor being
    // inherited by a program that this process executes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3_u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The signals that the keeper takes as events: the end of a child, and the wish that it ends. Two
/// more, a closed terminal and Ctrl-C, are taken too and mean nothing to it.
const EVENTS: [c_int; 4] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGHUP, libc::SIGINT];

/// A descriptor that is readable when a signal waits.
pub(crate) fn signals() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is written by `sigemptyset` before it is used, and a descriptor that the kernel
    // has just given out belongs to nobody else.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in EVENTS {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        let descriptor = libc::signalfd(-1, set.as_ptr(), flags);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// Whether one of these bytes, read from [`signals`], asks the keeper to end.
pub(crate) fn asks_to_end(bytes: &[u8]) -> bool {
    // The number is the first field of each record, four bytes in the machine's own order.
    bytes
        .chunks_exact(size_of::<libc::signalfd_siginfo>())
        .filter_map(|record| record.first_chunk::<4>())
        .any(|number| u32::from_ne_bytes(*number) == libc::SIGTERM as u32)
}

/// A child that has ended and is not reaped: its number stays its own until it is.
pub(crate) fn ended_child() -> Option<Pid> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the record is all zeroes before the call, which is valid for it, and the call fills it
    // in for an ended child, so that its process number may be read.
    let pid = unsafe {
        if libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) < 0 {
            return None;
        }
        info.assume_init().si_pid()
    };
    Pid::from_raw(pid)
}
