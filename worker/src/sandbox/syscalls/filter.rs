//! The filter's program: a tree of comparisons over the numbers of system calls.
//!
//! When a filter is installed the kernel runs it once for every system call that there is, to remember which ones it
//! always allows, and translates it to machine code. With one comparison after the other that takes most of a
//! millisecond, in every task process; in a tree eight comparisons decide.

use std::collections::BTreeMap;

use seccompiler::sock_filter;

/// What becomes of a system call that is not simply allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It fails with this error.
    Refuse(i32),
    /// It depends on an argument; refused it fails with EPERM.
    Check(Check),
}

/// A look at the low half of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    /// Which, from 0.
    pub(super) argument: u32,
    /// What it may be.
    pub(super) allowed: Allowed,
}

/// What an argument may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allowed {
    /// One of these.
    Only(Vec<u32>),
    /// None of these.
    AllBut(Vec<u32>),
    /// Anything that has one of these bits.
    WithBits(u32),
}

/// This machine's architecture, as linux/audit.h numbers it.
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCH: u32 = 0xc000_00f3;

/// From here on numbers are those of other ways to call the same: x32's have this bit.
const ALIASES: u32 = 0x4000_0000;

// Offsets in `struct seccomp_data`, of little-endian machines as all of these are.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

// Operations of linux/bpf_common.h.
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_NOT_LESS: u16 = 0x35;
const JUMP_BITS: u16 = 0x45;
const RETURN: u16 = 0x06;

/// The program that gives these verdicts, allows every other system call of this architecture, and ends a process that
/// makes one of another.
pub(super) fn program(verdicts: &[(libc::c_long, Verdict)]) -> Vec<sock_filter> {
    let mut program = Backwards::default();
    let killed = program.answer(libc::SECCOMP_RET_KILL_PROCESS);
    program.tree(&spans(verdicts));
    program.step(LOAD, NUMBER);
    program.jump(JUMP_EQUAL, ARCH, program.last(), killed);
    program.step(LOAD, ARCHITECTURE);
    program.steps.reverse();
    program.steps
}

/// Where, from a number on, another verdict holds; in order, the first from 0. `None` allows.
fn spans(verdicts: &[(libc::c_long, Verdict)]) -> Vec<(u32, Option<&Verdict>)> {
    let by_number: BTreeMap<u32, &Verdict> = verdicts
        .iter()
        .map(|(number, verdict)| (u32::try_from(*number).expect("system calls count from 0"), verdict))
        .collect();
    let mut spans: Vec<(u32, Option<&Verdict>)> = vec![(0, None)];
    let mut begin = |from: u32, verdict| {
        if spans.last().is_some_and(|(start, _)| *start == from) {
            spans.pop();
        }
        if spans.last().is_none_or(|(_, before)| *before != verdict) {
            spans.push((from, verdict));
        }
    };
    for (number, verdict) in by_number {
        begin(number, Some(verdict));
        begin(number + 1, None);
    }
    begin(ALIASES, Some(&Verdict::Refuse(libc::EPERM)));
    spans
}

/// A program that is written from its end, as jumps lead forwards only: so every target is there before the jump to it, and
/// each answer only once. The kernel's work at an installation grows with the number of steps.
#[derive(Default)]
struct Backwards {
    steps: Vec<sock_filter>,
    answers: BTreeMap<u32, usize>,
}

impl Backwards {
    /// The step that was written last: the next one, for what is written now.
    fn last(&self) -> usize {
        self.steps.len() - 1
    }

    fn step(&mut self, code: u16, k: u32) {
        self.steps.push(sock_filter { code, jt: 0, jf: 0, k });
    }

    fn jump(&mut self, code: u16, k: u32, met: usize, else_: usize) {
        let over = |target| u8::try_from(self.last() - target).expect("the program is within a jump's reach");
        self.steps.push(sock_filter { code, jt: over(met), jf: over(else_), k });
    }

    /// Where this answer is given.
    fn answer(&mut self, answer: u32) -> usize {
        if let Some(at) = self.answers.get(&answer) {
            return *at;
        }
        self.step(RETURN, answer);
        self.answers.insert(answer, self.last());
        self.last()
    }

    /// Where the span of the number that was loaded is looked for.
    fn tree(&mut self, spans: &[(u32, Option<&Verdict>)]) -> usize {
        if let [(_, verdict)] = spans {
            return match verdict {
                None => self.answer(libc::SECCOMP_RET_ALLOW),
                Some(Verdict::Refuse(error)) => self.answer(refusal(*error)),
                Some(Verdict::Check(check)) => self.check(check),
            };
        }
        let (low, high) = spans.split_at(spans.len() / 2);
        let (above, below) = (self.tree(high), self.tree(low));
        self.jump(JUMP_NOT_LESS, high[0].0, above, below);
        self.last()
    }

    /// Where an argument decides.
    fn check(&mut self, check: &Check) -> usize {
        let (allow, refuse) = (self.answer(libc::SECCOMP_RET_ALLOW), self.answer(refusal(libc::EPERM)));
        let (tests, met, mut else_): (Vec<(u16, u32)>, _, _) = match &check.allowed {
            Allowed::Only(values) => {
                (values.iter().map(|value| (JUMP_EQUAL, *value)).collect(), allow, refuse)
            }
            Allowed::AllBut(values) => {
                (values.iter().map(|value| (JUMP_EQUAL, *value)).collect(), refuse, allow)
            }
            Allowed::WithBits(bits) => (vec![(JUMP_BITS, *bits)], allow, refuse),
        };
        for (operation, value) in tests.into_iter().rev() {
            self.jump(operation, value, met, else_);
            else_ = self.last();
        }
        self.step(LOAD, ARGUMENTS + 8 * check.argument);
        self.last()
    }
}

fn refusal(error: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | (error.unsigned_abs() & libc::SECCOMP_RET_DATA)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 77;

    /// What the kernel would do: the answer, and how many steps it took.
    fn run(program: &[sock_filter], arch: u32, number: u32, arguments: [u32; 2]) -> (u32, usize) {
        let (mut at, mut loaded, mut steps) = (0, 0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at].clone();
            steps += 1;
            at += 1;
            let is_met = match code {
                LOAD => {
                    loaded = match k {
                        NUMBER => number,
                        ARCHITECTURE => arch,
                        16 => arguments[0],
                        24 => arguments[1],
                        _ => panic!("nothing is loaded from {k}"),
                    };
                    continue;
                }
                RETURN => return (k, steps),
                JUMP_EQUAL => loaded == k,
                JUMP_NOT_LESS => loaded >= k,
                JUMP_BITS => loaded & k != 0,
                _ => panic!("an unknown operation"),
            };
            at += usize::from(if is_met { jt } else { jf });
        }
    }

    fn errno(error: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | error.unsigned_abs()
    }

    #[test]
    fn every_number_has_its_verdict_and_few_steps_find_it() {
        let verdicts = super::super::verdicts(OWN);
        let program = program(&verdicts);
        assert!(program.len() < 150, "{} steps", program.len());
        for number in 0..600_u32 {
            let (answer, steps) = run(&program, ARCH, number, [0, 0]);
            assert!(steps < 20, "{number} takes {steps}");
            let verdict = verdicts.iter().find(|(n, _)| *n == libc::c_long::from(number)).map(|(_, v)| v);
            match verdict {
                None => assert_eq!(answer, libc::SECCOMP_RET_ALLOW, "{number}"),
                Some(Verdict::Refuse(error)) => assert_eq!(answer, errno(*error), "{number}"),
                Some(Verdict::Check(_)) => {}
            }
        }
        for number in [ALIASES, ALIASES | 59, u32::MAX] {
            assert_eq!(run(&program, ARCH, number, [0, 0]).0, errno(libc::EPERM));
        }
        assert_eq!(run(&program, ARCH ^ 1, 0, [0, 0]).0, libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn arguments_decide_where_they_have_to() {
        let program = program(&super::super::verdicts(OWN));
        let check = |number: libc::c_long, arguments, is_allowed| {
            let number = u32::try_from(number).expect("a small number");
            let expected = if is_allowed { libc::SECCOMP_RET_ALLOW } else { errno(libc::EPERM) };
            assert_eq!(run(&program, ARCH, number, arguments).0, expected, "{number} {arguments:?}");
        };
        check(libc::SYS_kill, [OWN, 9], true);
        check(libc::SYS_kill, [1, 9], false);
        check(libc::SYS_tgkill, [OWN, 1], true);
        check(libc::SYS_tgkill, [OWN + 1, 1], false);
        check(libc::SYS_prlimit64, [0, 0], true);
        check(libc::SYS_prlimit64, [OWN, 0], true);
        check(libc::SYS_prlimit64, [1, 0], false);
        check(libc::SYS_clone, [libc::CLONE_THREAD.unsigned_abs() | libc::CLONE_VM.unsigned_abs(), 0], true);
        check(libc::SYS_clone, [libc::CLONE_VM.unsigned_abs(), 0], false);
        let terminal = |request| u32::try_from(request).expect("a request has 32 bits");
        check(libc::SYS_ioctl, [0, terminal(libc::TIOCSTI)], false);
        check(libc::SYS_ioctl, [0, terminal(libc::TIOCLINUX)], false);
        check(libc::SYS_ioctl, [0, terminal(libc::TCGETS)], true);
    }
}
