//! The emulated engine over real sockets: an in-process server on a free port and a plain client.
//!
//! Nothing here sleeps or measures time. A test that needs requests to stay inside asks for more
//! tokens than could be made while it runs; one that needs an end runs a thousand times as fast.

#[cfg(test)]
mod harness;

#[cfg(test)]
mod api;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod skeleton;
#[cfg(test)]
mod sleep;
