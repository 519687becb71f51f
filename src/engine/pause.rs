//! CLIENT PAUSE: for how long which commands of all clients wait.

use crate::concurrent::counter::Latest;
use std::sync::{Mutex, PoisonError};

/// Which commands wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseMode {
    /// Those that may write.
    Writes,
    /// All of them.
    All,
}

/// The pause in force.
#[derive(Debug, Default)]
pub struct Pause {
    /// Unix time in milliseconds at which it ends, times two, and one more for [`PauseMode::All`]; 0 for none.
    word: Latest,
    changing: Mutex<()>,
}

impl Pause {
    /// True if there is a pause that may be over by now. One load.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.word.get() != 0
    }

    /// Begins a pause until `until_ms`. One that is in force is made longer and stricter, never the opposite.
    pub fn begin(&self, mode: PauseMode, until_ms: u64, now_ms: u64) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (present, end_ms) = self.present(now_ms).unwrap_or((PauseMode::Writes, 0));
        let all = u64::from(mode.max(present) == PauseMode::All);
        self.word.set(until_ms.max(end_ms) << 1 | all);
    }

    /// Ends the pause. The clients that wait are to be woken then.
    pub fn end(&self) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.word.set(0);
    }

    /// What waits at `now_ms`, and until when.
    pub fn present(&self, now_ms: u64) -> Option<(PauseMode, u64)> {
        let word = self.word.get();
        let mode = if word & 1 == 1 { PauseMode::All } else { PauseMode::Writes };
        (word >> 1 > now_ms).then_some((mode, word >> 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_made_longer_and_stricter_only() {
        let pause = Pause::default();
        assert!(!pause.is_set() && pause.present(0).is_none());
        pause.begin(PauseMode::All, 100, 10);
        pause.begin(PauseMode::Writes, 50, 10);
        assert_eq!(pause.present(99), Some((PauseMode::All, 100)));
        assert_eq!(pause.present(100), None);
        pause.begin(PauseMode::Writes, 300, 200);
        assert_eq!(pause.present(200), Some((PauseMode::Writes, 300)));
        pause.end();
        assert!(!pause.is_set());
    }
}
