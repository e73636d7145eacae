package io.faithfulsae.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.internal.RowBuffer.Mark;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Rows that are not finite: found by the step that reads them, named by the buffer. */
final class RowBufferTest {
  private final IllegalArgumentException rejected = new IllegalArgumentException("row 3 of 4");

  @Test
  void fillingLeavesTheScanToTheStep() throws IOException {
    try (ReferenceBackend backend = new ReferenceBackend();
        RowBuffer buffer = buffer(backend, 4, 5, Float.NaN)) {
      buffer.fill();
      assertSame(rejected, buffer.explain(rejected), "rows 0 to 3 are finite");
      buffer.fill(); // rows 4 and 5, then 0 and 1 of the next pass
      IllegalArgumentException named = buffer.explain(rejected);
      assertTrue(String.valueOf(named.getMessage()).contains("got NaN in row 5, column 1"));
      assertSame(rejected, named.getCause());
    }
  }

  @Test
  void rowsOfALaterPassHaveTheirOwnNumbers() throws IOException {
    try (ReferenceBackend backend = new ReferenceBackend();
        RowBuffer buffer = buffer(backend, 4, 1, Float.NEGATIVE_INFINITY)) {
      buffer.fill();
      assertTrue(said(buffer).contains("got -Infinity in row 1, column 1"), said(buffer));
      buffer.fill(); // now at index 3
      assertTrue(said(buffer).contains("got -Infinity in row 1, column 1"), said(buffer));
      buffer.fill(); // rows 2 to 5
      assertEquals(rejected.getMessage(), said(buffer));
    }
  }

  @Test
  void aSampleForTheStartIsChecked() throws IOException {
    try (ReferenceBackend backend = new ReferenceBackend();
        RowBuffer buffer = buffer(backend, 4, 2, Float.NaN)) {
      buffer.fill();
      assertEquals(4, buffer.first(2).remaining());
      IllegalArgumentException e =
          assertThrows(IllegalArgumentException.class, () -> buffer.first(3));
      assertTrue(String.valueOf(e.getMessage()).contains("got NaN in row 2, column 1"));
    }
  }

  @ParameterizedTest
  @CsvSource({"0, 0", "3, 0", "1, 2", "-1, 1"})
  void aReaderThatDoesNotAddWhatItSaysIsNamed(int says, int adds) {
    AtomicBoolean closed = new AtomicBoolean();
    try (ReferenceBackend backend = new ReferenceBackend()) {
      RowBuffer buffer =
          new RowBuffer(new Wrong(says, adds, closed), backend, false, 4, Mark.START);
      IOException e = assertThrows(IOException.class, buffer::fill);
      assertTrue(
          String.valueOf(e.getMessage()).contains("expected at least one row"), e.toString());
      assertThrows(IllegalStateException.class, buffer::close);
      assertTrue(closed.get());
      assertEquals(0, backend.liveBytes(), "freed although the reader failed to close");
    }
  }

  /** Breaks the promises of a reader. */
  private record Wrong(int says, int adds, AtomicBoolean closed) implements ActivationSource {
    @Override
    public int dIn() {
      return 2;
    }

    @Override
    public String description() {
      return "wrong";
    }

    @Override
    public ActivationReader open(long position) {
      return new ActivationReader() {
        @Override
        public int read(ActivationBatch into) {
          into.rows(into.rows() + adds);
          return says;
        }

        @Override
        public long position() {
          return 0;
        }

        @Override
        public void close() {
          closed.set(true);
          throw new IllegalStateException("cannot close");
        }
      };
    }
  }

  private String said(RowBuffer buffer) {
    return String.valueOf(buffer.explain(rejected).getMessage());
  }

  /** Over six rows of two values, one of them bad. */
  private static RowBuffer buffer(ReferenceBackend backend, int capacity, int row, float bad) {
    float[] rows = new float[6 * 2];
    rows[row * 2 + 1] = bad;
    ActivationSource source = ActivationSources.ofArray(rows, 2);
    return new RowBuffer(source, backend, false, capacity, Mark.START);
  }
}
