//! The gateway between raw clients and stub engines, over loopback.

#[cfg(test)]
mod common;

#[cfg(test)]
mod hold;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod retry;
