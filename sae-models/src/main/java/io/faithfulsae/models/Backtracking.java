package io.faithfulsae.models;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Looks for what can make a backtracking regular expression take exponential time. Oniguruma gives
 * up after ten million steps, and its Rust binding then panics. Patterns that take a power of the
 * text's length are not found: those of well-known tokenizers look like them.
 */
final class Backtracking {
  private static final int MAX_LENGTH = 10_000;

  /** Each may double the steps, and two to this power is a tenth of what Oniguruma allows. */
  private static final int MAX_OPTIONAL = 20;

  private static final Pattern RANGE = Pattern.compile("\\{(\\d{0,6})(,?)(\\d{0,6})}");

  private final String pattern;
  private int at;
  private int optional;

  private Backtracking(String pattern) {
    this.pattern = pattern;
  }

  /** What the pattern has that may take exponential time; null if nothing. */
  static @Nullable String reason(String pattern) {
    return pattern.length() > MAX_LENGTH
        ? "more than " + MAX_LENGTH + " characters"
        : new Backtracking(pattern).reason();
  }

  private @Nullable String reason() {
    Deque<Boolean> open = new ArrayDeque<>(); // of each group around: whether it varied before
    boolean varies = false; // whether this group can match the same text in several ways
    boolean variesBefore = false; // whether what a quantifier would repeat is a group that varies
    while (at < pattern.length()) {
      char c = pattern.charAt(at++);
      boolean repeated = variesBefore;
      variesBefore = false;
      switch (c) {
        case '\\' -> {
          if (at < pattern.length() && "123456789kg".indexOf(pattern.charAt(at)) >= 0) {
            return "references to groups";
          }
          at++;
        }
        case '[' -> skipClass();
        case '(' -> {
          open.push(varies);
          varies = false;
          at += pattern.startsWith("?", at) ? 1 : 0; // the kind of group, no quantifier
        }
        case ')' -> {
          variesBefore = varies;
          varies |= !open.isEmpty() && open.pop();
        }
        case '|' -> varies = true;
        case '?' -> {
          optional++;
          varies = true;
          variesBefore = repeated; // of (a+)?+
        }
        case '*', '+' -> {
          if (repeated) {
            return "repetition of a group that matches in several ways";
          }
          varies = true;
        }
        case '{' -> {
          Matcher range = RANGE.matcher(pattern).region(at - 1, pattern.length());
          if (range.lookingAt()) {
            if (repeated) {
              return "repetition of a group that matches in several ways";
            }
            at = range.end();
            varies |= !range.group(2).isEmpty();
          }
        }
        default -> {}
      }
    }
    return optional > MAX_OPTIONAL ? "more than " + MAX_OPTIONAL + " optional parts" : null;
  }

  /** Classes nest in Oniguruma. */
  private void skipClass() {
    int depth = 1;
    boolean first = true;
    while (at < pattern.length() && depth > 0) {
      char c = pattern.charAt(at++);
      if (c == '\\') {
        at++;
      } else if (c == '[') {
        depth++;
      } else if (c == ']' && !first) {
        depth--;
      }
      first = first && c == '^';
    }
  }
}
