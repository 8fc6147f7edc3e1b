//! The time in the `Date` of an HTTP answer.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days from the 1st of March of the year 0 to 1970, and one because days of a month begin at 1.
const EPOCH: i64 = 719_469;

/// Unix seconds of `Sun, 06 Nov 1994 08:49:37 GMT`. `None` for every other form, and for years before 1970.
pub fn unix_secs(text: &str) -> Option<i64> {
    let [_, day, month, year, time, "GMT"] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>()[..] else { return None };
    let number = |text: &str, min: i64, max: i64| {
        text.parse::<i64>().ok().filter(|number| (min..=max).contains(number))
    };
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()?;
    // Years that begin in March have their leap day at the end.
    let (year, month) = match number(year, 1970, 9999)? {
        year if month < 2 => (year - 1, month + 10),
        year => (year, month - 2),
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + number(day, 1, 31)?;
    let secs = number(hour, 0, 23)? * 3600 + number(minute, 0, 59)? * 60 + number(second, 0, 60)?;
    Some((days - EPOCH) * 86_400 + secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_unix_seconds() {
        for (text, secs) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
            ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
            ("Tue, 31 Dec 2024 23:59:60 GMT", 1_735_689_600),
        ] {
            assert_eq!(unix_secs(text), Some(secs), "{text}");
        }
        for bad in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Now 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
        ] {
            assert_eq!(unix_secs(bad), None, "{bad}");
        }
    }
}
