package io.faithfulsae.study;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.TokenSource;
import io.faithfulsae.models.tokens.TokenSources;
import java.io.IOException;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Mixtures in fixed shares. */
final class MixedTokensTest {
  private static final List<Double> SHARES = List.of(0.5, 0.2, 0.3, 0.0);

  @Test
  void everyBeginningHasTheShares() throws IOException {
    List<TokenSource> parts = List.of(source(0, 50), source(1, 20), source(2, 30), source(3, 9));
    long count = MixedTokens.most(List.of(50L, 20L, 30L, 9L), SHARES);
    assertEquals(100, count);
    MixedTokens mixed = new MixedTokens("mix", parts, SHARES, count);
    int[] taken = new int[4];
    List<int[]> all = read(mixed, 0);
    assertEquals(100, all.size());
    for (int i = 0; i < all.size(); i++) {
      int part = all.get(i)[0];
      assertEquals(taken[part], all.get(i)[1], "each part stays in order");
      taken[part]++;
      for (int p = 0; p < 4; p++) {
        assertTrue(Math.abs(taken[p] - SHARES.get(p) * (i + 1)) < 1, "part " + p + " at " + i);
      }
    }
    for (int first : new int[] {1, 37, 99, 100, 120}) {
      List<int[]> rest = read(mixed, first);
      assertEquals(Math.max(0, 100 - first), rest.size());
      for (int i = 0; i < rest.size(); i++) {
        assertEquals(all.get(first + i)[0], rest.get(i)[0]);
        assertEquals(all.get(first + i)[1], rest.get(i)[1]);
      }
    }
  }

  @Test
  void smallestPartForItsShareSaysHowMuchThereIs() {
    assertEquals(14, MixedTokens.most(List.of(100L, 10L), List.of(0.3, 0.7)));
    assertEquals(100, MixedTokens.most(List.of(100L, 10L), List.of(1.0, 0.0)));
  }

  private static List<int[]> read(TokenSource source, long first) throws IOException {
    try (Stream<int[]> all = source.open(first)) {
      return all.toList();
    }
  }

  /** Sequences consisting of the part's index and their own. */
  private static TokenSource source(int part, int count) {
    return TokenSources.ofSequences(
        "part " + part,
        IntStream.range(0, count).mapToObj(i -> new int[] {part, i}).toArray(int[][]::new));
  }
}
