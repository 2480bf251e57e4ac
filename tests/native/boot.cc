// The first program of an emulated machine: runs the drivers that the compilers made, and ends.
//
//     boot COUNT     random cases, for the drivers of each compiler and dtype
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <initializer_list>

int main(int, char **words) {
  bool failed = false;
  for (const char *program : {"/gcc_float", "/gcc_double", "/zig_float", "/zig_double"}) {
    const pid_t child = fork();
    if (child == 0) {
      execl(program, program, "cases", words[1], (char *)nullptr);
      _exit(127);
    }
    int status = -1;
    waitpid(child, &status, 0);
    failed |= status != 0;
  }
  puts(failed ? "a driver failed" : "all drivers passed");
  fflush(stdout);
  tcdrain(1);  // the serial port is slower than what comes next
  reboot(RB_AUTOBOOT);  // at which the emulator stops
}
