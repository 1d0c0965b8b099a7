//! What others ask the detection thread, which alone has the engine.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc;
use watchfire_detect::{Engine, Learning};

/// Questions that wait; those beyond go unanswered at once.
const WAITING: usize = 16;
/// How long one waits: a batch or a snapshot may come before it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is still to be learned of an entity?
#[derive(Debug)]
pub(super) struct Question {
    kind: String,
    value: String,
    answer: SyncSender<Vec<Learning>>,
}

impl Question {
    pub(super) fn answer(self, engine: &Engine) {
        let learning = engine.learning(&self.kind, &self.value);
        // Whoever asked may have gone.
        let _ = self.answer.send(learning);
    }
}

/// The end that others have.
#[derive(Debug, Clone)]
pub struct Questions(mpsc::Sender<Question>);

impl Questions {
    pub(super) fn new() -> (Questions, mpsc::Receiver<Question>) {
        let (ask, asked) = mpsc::channel(WAITING);
        (Questions(ask), asked)
    }

    /// See [`Engine::learning`]; `None` if detection does not answer in time. Blocks.
    pub fn learning(&self, kind: &str, value: &str) -> Option<Vec<Learning>> {
        let (answer, answered) = sync_channel(1);
        let question = Question {
            kind: kind.to_owned(),
            value: value.to_owned(),
            answer,
        };
        let asked = self.0.try_send(question).is_ok();
        let learning = asked
            .then(|| answered.recv_timeout(PATIENCE).ok())
            .flatten();
        if learning.is_none() {
            metrics::counter!("watchfire_detect_questions_unanswered_total").increment(1);
        }
        learning
    }
}
