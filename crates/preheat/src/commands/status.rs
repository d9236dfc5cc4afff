//! `preheat status`: what a running preheat's pools are doing.

use std::time::Duration;

use crate::admin_client::{AdminClient, StatusAnswer};
use crate::cli::StatusArgs;
use crate::failure::{Answer, hinted};
use crate::terminal::Line;
use crate::view;

/// Time between two looks with `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<Answer> {
    let token = super::read_token(args.token_file.as_deref())?;
    super::runtime()?.block_on(async {
        let client = AdminClient::new(args.admin, token);
        if args.watch && !args.json {
            return watch(&client, args).await;
        }
        loop {
            let status = look(&client, args).await?;
            let text = if args.json {
                format!("{}\n", serde_json::to_string(&status)?)
            } else {
                view::status(&status)
            };
            super::print(&text)?;
            if !args.watch {
                return Ok(Answer::Yes);
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    })
}

async fn watch(client: &AdminClient, args: &StatusArgs) -> anyhow::Result<Answer> {
    let mut stop = Box::pin(super::up::stop_signal()?);
    let mut line = Line::stderr();
    loop {
        let text = view::status(&look(client, args).await?);
        if line.is_terminal() {
            line.draw(text.trim_end());
        } else {
            super::print(&text)?;
        }
        tokio::select! {
            () = &mut stop => return Ok(Answer::Yes),
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
        }
    }
}

async fn look(client: &AdminClient, args: &StatusArgs) -> anyhow::Result<StatusAnswer> {
    client.status().await.map_err(|error| {
        hinted(
            format!("no preheat answers at {}: {error:#}", args.admin),
            "is `preheat up` running? its configuration's admin.listen says where it answers; pass \
             that with --admin, and the file that its admin.tokenFile names with --token-file",
        )
    })
}
