//! Compares two texts: shows which lines are gone and which are new, with a few lines around them.

/// Unchanged lines that are shown before and after a difference.
const AROUND: usize = 3;

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Both,
    Old,
    New,
}

/// The differing lines, `-` for the old text's and `+` for the new one's, with the old line numbers.
pub(crate) fn show(old: &str, new: &str) -> String {
    let lines = merged(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let is_near = |at: usize| {
        let from = at.saturating_sub(AROUND);
        let to = lines.len().min(at + AROUND + 1);
        lines[from..to].iter().any(|(side, _)| *side != Side::Both)
    };
    let mut shown = String::new();
    let mut number = 0;
    for (at, (side, line)) in lines.iter().enumerate() {
        number += usize::from(*side != Side::New);
        if !is_near(at) {
            continue;
        }
        shown.push_str(&match side {
            Side::Both => format!("{number:>4}   {line}\n"),
            Side::Old => format!("{number:>4} - {line}\n"),
            Side::New => format!("     + {line}\n"),
        });
    }
    shown
}

/// Both texts as one, with the longest common part kept.
fn merged<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Side, &'a str)> {
    // common[i][j]: how many lines old[i..] and new[j..] can have in common.
    let mut common = vec![vec![0usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            let skip = common[i + 1][j].max(common[i][j + 1]);
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                skip
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < old.len() || j < new.len() {
        let is_same = i < old.len() && j < new.len() && old[i] == new[j];
        if is_same {
            lines.push((Side::Both, old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            lines.push((Side::Old, old[i]));
            i += 1;
        } else {
            lines.push((Side::New, new[j]));
            j += 1;
        }
    }
    lines
}

#[test]
fn a_difference_shows_old_and_new_lines_and_what_is_near() {
    let old = "1\n2\n3\n4\nold\n5\n6\n7\n8\n";
    let new = "1\n2\n3\n4\nnew\n5\n6\n7\n8\n";
    let shown = "   2   2\n   3   3\n   4   4\n   5 - old\n     + new\n   6   5\n   7   6\n   8   7\n";
    assert_eq!(show(old, new), shown);
    assert_eq!(show(old, old), "");
}
