package io.faithfulsae.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;

/**
 * Sends SIGINT, as Ctrl-C does. The shell that sends it is started beforehand: on a busy machine
 * starting one takes longer than some programs run.
 */
final class Interrupter implements AutoCloseable {
  private final Process shell;

  Interrupter() throws IOException {
    this.shell = new ProcessBuilder("sh", "-c", "read pid && kill -INT \"$pid\"").start();
  }

  void interrupt(Process process) throws IOException, InterruptedException {
    try (Writer to = shell.outputWriter(StandardCharsets.US_ASCII)) {
      to.write(process.pid() + "\n");
    }
    assertEquals(0, shell.waitFor(), "the process was there");
  }

  @Override
  public void close() {
    shell.destroyForcibly();
  }
}
