# Starts programs for a process that is too large to fork often; src/tools/spawner.ts speaks to it over standard input and
# output. A frame is a length (four bytes, big-endian) and so many bytes: fields with a zero byte between them.
#   in:  run ID LIMIT MEMORY COUNT COMMAND ARGUMENT... NAME VALUE...   so many bytes of output and of memory (0: any number), COUNT
#        arguments, then the whole environment
#        signal ID NAME                                         to the program's process group
#   out: ready; forked ID PID; started ID; failed ID ERRNO; overflow ID; ended ID STATUS LENGTH, then LENGTH bytes of its output and
#        what it complained of
# It ends, with all that it started, when its input does: also when the other side is killed.
use strict;
use warnings;
use Config;

# As everywhere; their modules would cost more than all the rest.
use constant { WNOHANG => 1, EINTR => 4, RLIMIT_DATA => 2 };
# prlimit64(2), for which Perl has no name, by the kind of machine: memory is not bounded on others.
my ($prlimit) = map { /^x86_64-/ ? 302 : /^aarch64-/ ? 261 : () } $Config{archname};
# Waiting for one program's end while others speak: a signal that comes just before select would be seen so late.
use constant LOOK_AGAIN_SECONDS => 0.02;
# A descendant that fled its group may hold the output open for so long.
use constant CUT_SECONDS => 2;

my %running;
my $input = '';

# A handler, unlike IGNORE, is not inherited by what is started. Who asks us to end means the other side, which then closes
# our input.
$SIG{$_} = sub { } for qw(CHLD PIPE TERM INT HUP);

sub tell_other {
  my $frame = join "\0", @_;
  $frame = pack('N', length $frame) . $frame;
  while (length $frame) {
    my $written = syswrite STDOUT, $frame;
    next if !defined $written && $! == EINTR;
    return if !defined $written;
    substr $frame, 0, $written, '';
  }
}

sub run_program {
  my ($id, $limit, $memory, $count, $command, @more) = @_;
  my @arguments = splice @more, 0, $count;
  pipe(my $out, my $out_end) && pipe(my $err, my $err_end) && pipe(my $fault, my $fault_end) && pipe(my $go, my $go_end)
    or return tell_other('failed', $id, $! + 0);
  my $pid = fork;
  return tell_other('failed', $id, $! + 0) if !defined $pid;
  if (!$pid) {
    # Whatever is opened here above 2 closes itself when the program starts ($^F of perlvar).
    setpgrp 0, 0;
    # Nothing runs of which the other side does not know whom to kill.
    close $go_end;
    sysread $go, my $word, 1 or kill 'KILL', $$;
    open STDIN, '<', '/dev/null' and open STDOUT, '>&', $out_end and open STDERR, '>&', $err_end and do {
      %ENV = @more;
      bound_memory($memory) if $memory;
      no warnings 'exec';
      exec { $command } $command, @arguments;
    };
    syswrite $fault_end, $! + 0;
    kill 'KILL', $$;
  }
  # Here and there: whoever is told of it may kill it at once.
  setpgrp $pid, $pid;
  tell_other('forked', $id, $pid);
  syswrite $go_end, 'g';
  close $_ for $out_end, $err_end, $fault_end, $go, $go_end;
  # At its end when the program has started.
  my ($read, $errno);
  $read = sysread $fault, $errno, 16 until defined $read;
  if ($read) {
    waitpid $pid, 0;
    return tell_other('failed', $id, $errno);
  }
  $running{$id} = { pid => $pid, limit => $limit, pipes => { out => $out, err => $err }, out => '', err => '' };
  tell_other('started', $id);
}

# And who is short of memory is killed before anybody else.
sub bound_memory {
  my $bytes = shift;
  syscall $prlimit, 0, RLIMIT_DATA, pack('QQ', $bytes, $bytes), 0 if defined $prlimit;
  open my $score, '>', '/proc/self/oom_score_adj' or return;
  print $score 1000;
}

sub signal_program {
  my ($id, $name) = @_;
  my $program = $running{$id};
  kill $name, -$program->{pid} if $program && !defined $program->{status};
}

sub read_requests {
  my $read = sysread STDIN, $input, 65_536, length $input;
  return 0 if !$read;
  while (length $input >= 4) {
    my $length = unpack 'N', $input;
    last if length $input < 4 + $length;
    my ($verb, @fields) = split /\0/, substr($input, 4, $length), -1;
    substr $input, 0, 4 + $length, '';
    $verb eq 'run' ? run_program(@fields) : signal_program(@fields);
  }
  return 1;
}

# Keeps the first bytes and goes on reading, so that the program never blocks.
sub read_output {
  my ($id, $name) = @_;
  my $program = $running{$id};
  my $read = sysread $program->{pipes}{$name}, my $chunk, 65_536;
  return delete $program->{pipes}{$name} if !$read;
  my $room = $program->{limit} - length $program->{$name};
  $program->{$name} .= substr $chunk, 0, $room if $room > 0;
  tell_other('overflow', $id) if $name eq 'out' && $read > $room && !$program->{told}++;
}

sub look_for_ends {
  for my $id (keys %running) {
    my $program = $running{$id};
    if (!defined $program->{status}) {
      next if waitpid($program->{pid}, WNOHANG) != $program->{pid};
      $program->{status} = $?;
      $program->{cut} = time + CUT_SECONDS;
      kill 'KILL', -$program->{pid};
    }
    next if %{ $program->{pipes} } && time < $program->{cut};
    delete $running{$id};
    tell_other('ended', $id, $program->{status}, length $program->{out}, $program->{out} . $program->{err});
  }
}

binmode $_ for *STDIN, *STDOUT;
tell_other('ready');
my $going = 1;
while ($going) {
  my $watched = '';
  vec($watched, 0, 1) = 1;
  for my $program (values %running) {
    vec($watched, fileno $_, 1) = 1 for values %{ $program->{pipes} };
  }
  my $found = select(my $ready = $watched, undef, undef, %running ? LOOK_AGAIN_SECONDS : undef);
  if ($found > 0) {
    for my $id (keys %running) {
      my $pipes = $running{$id}{pipes};
      vec($ready, fileno $pipes->{$_}, 1) && read_output($id, $_) for keys %$pipes;
    }
    $going = read_requests() if vec $ready, 0, 1;
  }
  look_for_ends();
}
for my $program (values %running) {
  next if defined $program->{status};
  kill 'KILL', -$program->{pid};
  waitpid $program->{pid}, 0;
}
