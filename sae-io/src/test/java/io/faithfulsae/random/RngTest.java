package io.faithfulsae.random;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.random.Rng.Purpose;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.apache.commons.math3.random.RandomGenerator;
import org.apache.commons.rng.core.source64.Philox4x64;
import org.junit.jupiter.api.Test;

class RngTest {

  /** The known answers of Random123, the authors' library: kat_vectors, philox4x64 10. */
  @Test
  void theGeneratorIsTheOneOfThePaper() {
    assertBlock(
        new long[] {0, 0, -1, -1, -1, -1}, // a draw increments first: to counter 0
        0x16554d9eca36314cL,
        0xdb20fe9d672d0fdcL,
        0xd7e772cee186176bL,
        0x7e68b68aec7ba23bL);
    assertBlock(
        new long[] {-1, -1, -2, -1, -1, -1},
        0x87b092c3013fe90bL,
        0x438c3c67be8d0224L,
        0x9cc7d7c69cd777b6L,
        0xa09caebf594f0ba0L);
    assertBlock(
        new long[] {
          0x452821e638d01377L,
          0xbe5466cf34e90c6cL,
          0x243f6a8885a308d3L - 1,
          0x13198a2e03707344L,
          0xa4093822299f31d0L,
          0x082efa98ec4e6c89L
        },
        0xa528f45403e61d95L,
        0x38c72dbd566e9788L,
        0xa5a1610e72fd18b5L,
        0x57bd43b5e52b7fe6L);
  }

  private static void assertBlock(long[] keyAndCounter, long... expected) {
    Philox4x64 philox = new Philox4x64(keyAndCounter);
    assertArrayEquals(expected, LongStream.generate(philox::next).limit(4).toArray());
  }

  /** Computed by another implementation; a change would break every recorded seed. */
  @Test
  void givesTheSameStreamForEver() {
    Rng rng = new Rng(Purpose.RECORDS, 42, 7);
    assertEquals(6707133965202982087L, rng.nextLong());
    assertEquals(-6728738627387742436L, rng.nextLong());
    assertEquals(230592919830309067L, rng.nextLong());
    assertEquals(-2513670402196784080L, rng.nextLong());
    assertEquals(-2673313307922555594L, rng.nextLong());
    assertEquals(-9077284713684303473L, rng.nextLong());
    rng = new Rng(Purpose.SNIPPETS, -3, 5, 1);
    assertEquals(-7803421801481582067L, rng.nextLong());
    assertEquals(3370914154765929939L, rng.nextLong());
  }

  @Test
  void purposesKeepTheirNumbers() {
    // Seed 0 and index 0: the stream depends only on the purpose.
    Map<Purpose, Long> first = new TreeMap<>();
    for (Purpose purpose : Purpose.values()) {
      first.put(purpose, new Rng(purpose, 0).nextLong());
    }
    Map<Purpose, Long> expected = new TreeMap<>();
    long[] recorded = {
      -3443009869511011978L,
      -3423096302391784448L,
      8765139425351048083L,
      7916537264935705218L,
      -7607751311243640361L,
      -8912053537751244250L,
      -7664692349695211954L,
      -2802514252706139902L,
      -3669039455924620606L,
      -753702445440773724L,
      3682763398030452460L,
      -7435165263916275436L,
      6691196400944760873L,
      4537218380712205961L,
      -4457890633129737192L,
      -4206184662373823982L,
      -8054348153580366318L,
      54157997850522921L,
      8372193740235347611L,
    };
    for (Purpose purpose : Purpose.values()) {
      expected.put(purpose, recorded[purpose.ordinal()]);
    }
    assertEquals(expected, first);
  }

  @Test
  void streamsOfSeedPurposeIndexAndPartAreDifferent() {
    Set<Long> drawn = new HashSet<>();
    int count = 0;
    for (Purpose purpose : Purpose.values()) {
      for (long seed : new long[] {0, 1, 2, -1, 1L << 32, Long.MIN_VALUE}) {
        for (long index : new long[] {0, 1, 2, -1, 1L << 32, Long.MIN_VALUE}) {
          for (long part : new long[] {0, 1, -1}) {
            Rng rng = new Rng(purpose, seed, index, part);
            for (int draw = 0; draw < 8; draw++) {
              drawn.add(rng.nextLong());
              count++;
            }
          }
        }
      }
    }
    assertEquals(count, drawn.size());
  }

  @Test
  void drawsWholeNumbersEvenly() {
    Rng rng = new Rng(Purpose.TRIALS, 1);
    int[] counts = new int[7];
    for (int i = 0; i < 70_000; i++) {
      counts[rng.nextInt(7)]++;
    }
    for (int count : counts) {
      assertEquals(10_000, count, 500, "five standard deviations");
    }
    assertEquals(0, rng.nextInt(1));
    assertThrows(IllegalArgumentException.class, () -> rng.nextInt(0));
    // Two thirds of the numbers below 3 * 2^29 lie below 2^30; a remainder of 2^31 would say 3/4.
    int below = 0;
    for (int i = 0; i < 30_000; i++) {
      below += rng.nextInt(3 << 29) < 1 << 30 ? 1 : 0;
    }
    assertEquals(20_000, below, 410, "five standard deviations");
  }

  @Test
  void drawsNormals() {
    Rng rng = new Rng(Purpose.TRIALS, 2);
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < 100_000; i++) {
      double x = rng.nextGaussian();
      assertTrue(Double.isFinite(x));
      sum += x;
      squares += x * x;
    }
    assertEquals(0, sum / 100_000, 0.016, "five standard errors");
    assertEquals(1, squares / 100_000, 0.023, "five standard errors");
  }

  @Test
  void allOrdersAreEquallyLikely() {
    Map<String, Integer> shuffled = new TreeMap<>();
    Map<String, Integer> permuted = new TreeMap<>();
    for (int i = 0; i < 24_000; i++) {
      List<Integer> list = new ArrayList<>(List.of(0, 1, 2, 3));
      new Rng(Purpose.QUESTIONS, 1, i).shuffle(list);
      shuffled.merge(list.toString(), 1, Integer::sum);
      int[] order = new Rng(Purpose.SHUFFLE, 1, i).permutation(4);
      permuted.merge(Arrays.toString(order), 1, Integer::sum);
    }
    for (Map<String, Integer> counts : List.of(shuffled, permuted)) {
      assertEquals(24, counts.size());
      counts.forEach((order, count) -> assertEquals(1000, count, 160, "five standard deviations"));
    }
    int[] all = new Rng(Purpose.SHUFFLE, 2).permutation(1000);
    assertArrayEquals(IntStream.range(0, 1000).toArray(), Arrays.stream(all).sorted().toArray());
    assertEquals(0, new Rng(Purpose.SHUFFLE, 2).permutation(0).length);
  }

  @Test
  void theAdapterGivesTheSameNumbers() {
    Rng rng = new Rng(Purpose.BOOTSTRAP, 3);
    RandomGenerator adapted = new Rng(Purpose.BOOTSTRAP, 3).asRandomGenerator();
    for (int i = 0; i < 10; i++) {
      assertEquals(rng.nextLong(), adapted.nextLong());
      assertEquals(rng.nextDouble(), adapted.nextDouble());
      assertEquals(rng.nextInt(1000), adapted.nextInt(1000));
      assertEquals(rng.nextGaussian(), adapted.nextGaussian());
      assertEquals((int) (rng.nextLong() >>> 32), adapted.nextInt());
    }
    assertThrows(UnsupportedOperationException.class, () -> adapted.setSeed(1));
  }
}
