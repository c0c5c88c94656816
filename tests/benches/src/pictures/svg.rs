//! As much of SVG as the pictures need: text, lines, dots and bars, in colours that follow the reader's theme.

use std::fmt::{Display, Write};

pub(super) struct Svg {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

/// Where a text stands to its place.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// With a headline and, below it, what was measured.
    pub(super) fn new(width: f64, height: f64, title: &str, subtitle: &str) -> Self {
        let mut svg = Self { width, height, title: title.to_owned(), body: String::new() };
        svg.text(MARGIN, 34.0, Anchor::Start, "title", title);
        svg.text(MARGIN, 54.0, Anchor::Start, "subtitle", subtitle);
        svg
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: impl Display) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(&text.to_string());
        self.put(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        self.path(&[from, to], class);
    }

    pub(super) fn path(&mut self, points: &[(f64, f64)], class: &str) {
        let mut way = String::new();
        for (number, (x, y)) in points.iter().enumerate() {
            let command = if number == 0 { 'M' } else { 'L' };
            write!(way, "{command}{x:.1} {y:.1}").expect("a String takes all");
        }
        self.put(format_args!(r#"<path d="{way}" class="line {class}"/>"#));
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), class: &str) {
        self.put(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" class="dot {class}"/>"#));
    }

    /// Its end is round, its beginning stands on the axis.
    pub(super) fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        let round = 3.0_f64.min(width / 2.0);
        let (right, bottom) = (x + width, y + height);
        self.put(format_args!(
            r#"<path d="M{x:.1} {y:.1}H{:.1}Q{right:.1} {y:.1} {right:.1} {:.1}V{:.1}Q{right:.1} {bottom:.1} {:.1} {bottom:.1}H{x:.1}Z" class="dot {class}"/>"#,
            right - round,
            y + round,
            bottom - round,
            right - round,
        ));
    }

    pub(super) fn finish(self) -> String {
        let Self { width, height, title, body } = self;
        let title = escaped(&title);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{title}">
<style>{STYLE}</style>
<rect x="0.5" y="0.5" width="{}" height="{}" rx="10" class="paper"/>
{body}</svg>
"#,
            width - 1.0,
            height - 1.0
        )
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("a String takes all");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub(super) const MARGIN: f64 = 24.0;

/// Colours of Okabe and Ito, which everybody can tell apart, a little lighter on dark paper.
const STYLE: &str = "
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;font-size:12px;fill:#424a53}
.title{font-size:16px;font-weight:600;fill:#1f2328}
.subtitle,.tick{fill:#656d76}
.name{fill:#424a53}
.name.own,.name.slab,.name.rival{font-weight:600}
.paper{fill:#fff;stroke:#d8dee4}
.line{fill:none;stroke-linejoin:round;stroke-linecap:round}
.grid{stroke:#eaeef2;stroke-width:1}
.axis{stroke:#afb8c1;stroke-width:1}
.leader{stroke:#afb8c1;stroke-width:.75}
.line.own,.line.slab,.line.rival{stroke-width:2.5}
.line.other{stroke-width:1.25}
.line.floor{stroke-width:1.5;stroke-dasharray:1 4}
.line.own{stroke:#0072b2}.line.slab{stroke:#d55e00}.line.rival{stroke:#009e73}.line.other{stroke:#a0a8b0}.line.floor{stroke:#1f2328}
.dot.own,text.own{fill:#0072b2}.dot.slab,text.slab{fill:#d55e00}.dot.rival,text.rival{fill:#00845f}.dot.other{fill:#bcc3ca}.dot.floor{fill:#57606a}
@media (prefers-color-scheme:dark){
text{fill:#b7bfc8}.title{fill:#f0f3f6}.subtitle,.tick{fill:#8d96a0}.name{fill:#b7bfc8}
.paper{fill:#0d1117;stroke:#30363d}.grid{stroke:#21262d}.axis,.leader{stroke:#484f58}
.line.own{stroke:#56b4e9}.line.slab{stroke:#f0883e}.line.rival{stroke:#3ddc97}.line.other{stroke:#6e7681}.line.floor{stroke:#f0f3f6}
.dot.own,text.own{fill:#56b4e9}.dot.slab,text.slab{fill:#f0883e}.dot.rival,text.rival{fill:#3ddc97}.dot.other{fill:#6e7681}.dot.floor{fill:#b7bfc8}
}
";
