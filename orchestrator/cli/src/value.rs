//! Parameters: typed values, from the command line as from a spec.

use toml::Value;

/// What `--param` and `--grid` give: a whole number, a number, `true` or `false`, else text.
/// Double quotes around a value make it text in any case.
pub(crate) fn typed(text: &str) -> Value {
    if let Some(quoted) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Value::String(quoted.to_owned());
    }
    match text {
        "true" => return Value::Boolean(true),
        "false" => return Value::Boolean(false),
        _ => {}
    }
    let digits = text.trim_start_matches(['+', '-']);
    // "007" is a name; "inf" and "nan" would not survive JSON.
    let padded =
        digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    if padded || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Value::String(text.to_owned());
    }
    if let Ok(integer) = text.parse() {
        return Value::Integer(integer);
    }
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => Value::Float(float),
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_off_the_text() {
        assert_eq!(typed("3"), Value::Integer(3));
        assert_eq!(typed("-3"), Value::Integer(-3));
        assert_eq!(typed("1e-3"), Value::Float(0.001));
        assert_eq!(typed(".5"), Value::Float(0.5));
        assert_eq!(typed("true"), Value::Boolean(true));
        assert_eq!(typed("\"3\""), Value::String("3".into()));
    }

    #[test]
    fn the_rest_is_text() {
        for text in
            ["", "adam", "007", "nan", "inf", "-inf", "1e999", "1_000", "True", "--3", "3 ", "\"", "1.2.3"]
        {
            assert_eq!(typed(text), Value::String(text.into()), "{text:?}");
        }
    }
}
