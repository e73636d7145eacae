package io.faithfulsae.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Writers in separate processes, exiting normally and killed. */
class OutputLockTest {
  @TempDir Path dir;

  /** A writer in another process. */
  static final class Other {
    private Other() {}

    /** Holds the lock of a folder until its input ends, or counts in a file under its lock. */
    public static void main(String[] args) throws IOException {
      Path output = Path.of(args[1]);
      if (args[0].equals("hold")) {
        OutputLock lock = OutputLock.ofFolder(output);
        System.out.println("held");
        System.in.readAllBytes();
        lock.close();
        return;
      }
      for (int i = 0; i < Integer.parseInt(args[2]); ) {
        try (OutputLock lock = OutputLock.ofFile(output)) {
          assertNotNull(lock);
          int count = Files.exists(output) ? Integer.parseInt(Files.readString(output)) : 0;
          Files.writeString(output, String.valueOf(count + 1));
          i++;
        } catch (IOException e) {
          if (!String.valueOf(e.getMessage()).contains("no other writer")) {
            throw e;
          }
        }
      }
    }
  }

  private static Process start(Object... args) throws IOException {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                Other.class.getName()));
    for (Object arg : args) {
      command.add(arg.toString());
    }
    return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
  }

  private static Process holder(Path output) throws IOException {
    Process process = start("hold", output);
    BufferedReader said = process.inputReader();
    assertEquals("held", said.readLine());
    return process;
  }

  private static String rejection(Path output) {
    IOException e = assertThrows(IOException.class, () -> OutputLock.ofFolder(output).close());
    return String.valueOf(e.getMessage());
  }

  @Test
  void aSecondProcessIsToldWhoWrites() throws IOException, InterruptedException {
    Path output = dir.resolve("out");
    Process process = holder(output);
    for (int attempt = 0; attempt < 2; attempt++) {
      String said = rejection(output);
      assertTrue(said.contains("process " + process.pid() + " on "), said);
      assertTrue(said.matches(".*since \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ.*"), said);
      assertTrue(said.contains("OutputLockTest$Other hold"), said);
      assertTrue(said.contains("wait until it ends"), said);
    }
    process.outputWriter().close();
    assertEquals(0, process.waitFor());
    assertFalse(Files.exists(output.resolve(".lock")), "nothing stays behind");
    OutputLock.ofFolder(output).close();
    assertFalse(Files.exists(output.resolve(".lock")));
  }

  @Test
  void aKilledOwnerBlocksNobody() throws IOException, InterruptedException {
    Path output = dir.resolve("out");
    Process process = holder(output);
    process.destroyForcibly().waitFor();
    assertTrue(Files.exists(output.resolve(".lock")), "it could not be deleted");
    OutputLock.ofFolder(output).close();
    assertFalse(Files.exists(output.resolve(".lock")));
    // Content that is not a lock's text, from any program, does not matter either.
    Files.write(output.resolve(".lock"), new byte[10_000]);
    OutputLock.ofFolder(output).close();
  }

  @Test
  void aSecondWriterInOneProcessIsRejectedAndTakesNothingFromTheFirst()
      throws IOException, ReflectiveOperationException {
    Path output = dir.resolve("out");
    Path alias = Files.createSymbolicLink(dir.resolve("alias"), Files.createDirectory(output));
    URL[] classes = {OutputLock.class.getProtectionDomain().getCodeSource().getLocation()};
    OutputLock lock = OutputLock.ofFolder(output);
    try (URLClassLoader apart = new URLClassLoader(classes, null)) {
      assertTrue(rejection(output).contains("process " + ProcessHandle.current().pid()));
      assertTrue(rejection(alias).contains("process " + ProcessHandle.current().pid()));
      InvocationTargetException rejected =
          assertThrows(
              InvocationTargetException.class,
              () ->
                  apart
                      .loadClass(OutputLock.class.getName())
                      .getMethod("ofFolder", Path.class)
                      .invoke(null, output));
      assertTrue(rejected.getCause() instanceof IOException, String.valueOf(rejected.getCause()));
      Process second = start("hold", output);
      assertEquals(-1, second.inputReader().read(), "the first still has it");
    }
    lock.close();
    lock.close();
    holder(output).destroyForcibly();
  }

  @Test
  void severalFoldersAreTakenTogetherOrNotAtAll() throws IOException {
    Path a = dir.resolve("a");
    Path b = dir.resolve("b");
    OutputLock held = OutputLock.ofFolder(b);
    assertThrows(IOException.class, () -> OutputLock.ofFolders(List.of(a, b)));
    held.close();
    OutputLock.ofFolders(List.of(a, b)).forEach(OutputLock::close);
  }

  /** The lock file is constantly deleted and recreated while others are about to lock it. */
  @Test
  void twoNeverWriteAtOnce() throws IOException, InterruptedException {
    Path output = dir.resolve("count.txt");
    List<Process> counting = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      counting.add(start("count", output, 150));
    }
    for (Process process : counting) {
      assertEquals(0, process.waitFor());
    }
    assertEquals("450", Files.readString(output));
    assertFalse(Files.exists(dir.resolve(".count.txt.lock")));
  }
}
