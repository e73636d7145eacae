package io.faithfulsae.study.report;

import io.faithfulsae.metrics.BootstrapInterval;
import java.util.Locale;

/** Numbers in readable form. */
public final class Format {
  private Format() {}

  /** Rounds to the digits that matter for values of ordinary size. */
  public static String number(double value) {
    if (!Double.isFinite(value)) {
      return Double.isNaN(value) ? "not a number" : value > 0 ? "∞" : "−∞";
    }
    double size = Math.abs(value);
    String text =
        size != 0 && (size < 1e-4 || size >= 1e6)
            ? String.format(Locale.ROOT, "%.2e", value)
            : String.format(
                Locale.ROOT,
                size >= 100 ? "%.1f" : size < 1e-2 && size != 0 ? "%.4f" : "%.3f",
                value);
    return text.replace('-', '−');
  }

  /** With one decimal. */
  public static String tenth(double value) {
    return String.format(Locale.ROOT, "%.1f", value);
  }

  /** A share in percent, with a decimal if needed. */
  public static String percent(double share) {
    double percent = 100 * share;
    return String.format(
            Locale.ROOT, percent == Math.rint(percent) ? "%.0f %%" : "%.1f %%", percent)
        .replace('-', '−');
  }

  /** With thin spaces between groups of three digits. */
  public static String count(long value) {
    return String.format(Locale.ROOT, "%,d", value).replace(',', ' ');
  }

  /** Both ends of an interval. */
  public static String range(BootstrapInterval interval) {
    return "[" + number(interval.low()) + ", " + number(interval.high()) + "]";
  }

  /** Both ends of an interval of shares. */
  public static String percentRange(BootstrapInterval interval) {
    return "[" + percent(interval.low()) + ", " + percent(interval.high()) + "]";
  }
}
