//! Parses the text of a script: commands, `---`, their output, a blank line, and so on.

/// A script, block by block.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) blocks: Vec<Block>,
}

/// The commands, comments and blank lines of a block.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// With their line numbers, from 1.
    lines: Vec<(usize, String)>,
}

const RULE: &str = "---";

/// The output below the rule if the commands printed nothing.
const NOTHING: &str = "ok";

impl Script {
    pub(crate) fn parse(text: &str) -> Self {
        let mut blocks = vec![Block::default()];
        let mut is_output = false;
        for (number, line) in (1..).zip(text.lines()) {
            let block = blocks.last_mut().expect("begins with one block");
            match line.trim_end() {
                RULE => is_output = true,
                "" if is_output || block.commands().next().is_some() => {
                    is_output = false;
                    blocks.push(Block::default());
                }
                // Old output is skipped: the new one replaces it, and the test compares the texts.
                _ if is_output => {}
                "" if block.lines.is_empty() => {}
                line => block.lines.push((number, line.to_owned())),
            }
        }
        blocks.retain(|block| !block.lines.is_empty());
        Self { blocks }
    }

    /// The script with these outputs, one for each block.
    pub(crate) fn with_outputs(&self, outputs: &[Vec<String>]) -> String {
        let blocks: Vec<String> = self
            .blocks
            .iter()
            .zip(outputs)
            .map(|(block, output)| block.text(output))
            .collect();
        blocks.join("\n")
    }
}

impl Block {
    /// The lines that are commands, with their numbers.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.lines.iter().map(|(number, line)| (*number, line.trim()));
        lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    }

    fn text(&self, output: &[String]) -> String {
        let mut text = String::new();
        let mut add = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        self.lines.iter().for_each(|(_, line)| add(line));
        if self.commands().next().is_some() {
            add(RULE);
            output.iter().for_each(|line| add(line));
            if output.is_empty() {
                add(NOTHING);
            }
        }
        text
    }
}
