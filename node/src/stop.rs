//! The wish that a node ends: said once, heard by everybody.

use tokio::sync::watch;

/// Hears the wish. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Says it. Dropping it says it too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// A pair of both.
pub fn pair() -> (Stopper, Stop) {
    let (say, hear) = watch::channel(false);
    (Stopper(say), Stop(hear))
}

impl Stopper {
    /// Says it; saying it again changes nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether it was said.
    pub fn is_wanted(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for it.
    pub async fn wanted(&mut self) {
        // An error means that the other side is gone, which says the same.
        drop(self.0.wait_for(|stop| *stop).await);
    }
}
