//! What a page tells a user to type, with what it says comes of it. It knows no page by name.

/// What the page has, in its order.
pub(super) enum Part {
    Command { text: String, output: Vec<String> },
    Yaml(String),
}

/// Fenced blocks with the title of their section: commands with what they print, where they have a
/// prompt, or commands alone.
pub(super) fn parts(page: &str) -> Vec<(String, Part)> {
    let (mut parts, mut section) = (Vec::new(), String::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            section = line.trim_start_matches('#').trim().to_owned();
        }
        let Some(kind) = line.trim_start().strip_prefix("```") else { continue };
        let margin = line.len() - line.trim_start().len();
        let block = lines.by_ref().take_while(|line| line.trim() != "```");
        let block: Vec<&str> = block.map(|line| line.get(margin..).unwrap_or_default()).collect();
        match kind {
            "yaml" => {
                let yaml = format!("{}\n", block.join("\n"));
                parts.push((section.clone(), Part::Yaml(yaml)));
            }
            "console" => {
                let commands = commands(&block).into_iter();
                parts.extend(commands.map(|command| (section.clone(), command)));
            }
            _ => {}
        }
    }
    parts
}

fn commands(block: &[&str]) -> Vec<Part> {
    let joined = block.join("\n").replace("\\\n", " ");
    let prompts = joined.lines().any(|line| line.starts_with("$ "));
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in joined.lines() {
        let command = if prompts { line.strip_prefix("$ ") } else { Some(line) };
        match (command, commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
            (None, Some((_, output))) => output.push(line.to_owned()),
            (None, None) => panic!("{line} follows no command"),
        }
    }
    let commands = commands.into_iter().map(|(text, output)| Part::Command { text, output });
    commands.collect()
}
