//! A local world with real processes. The engines are this very executable, started again as
//! [`fake_engine`]; gates and marks are files, so that no test depends on how long anything takes.

#[cfg(test)]
mod adoption;
#[cfg(test)]
mod fake_engine;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod trouble;

/// Does nothing as a test. As the engine of a test, it is told so by its environment.
#[test]
fn fake_engine() {
    if let Some(engine) = fake_engine::FakeEngine::from_env() {
        engine.run();
    }
}
