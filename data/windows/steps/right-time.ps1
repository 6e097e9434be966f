# inputs: begin
$ComputerName = ''
$Made = ''
$ClockSource = ''
# inputs: end
# part: clock
function Step-RightTime {
    $Now = [System.DateTimeOffset]::UtcNow
    $Then = [System.DateTimeOffset]::Parse($Made, [System.Globalization.CultureInfo]::InvariantCulture)
    if ($Now -lt $Then.AddMinutes(-5)) {
        throw ('The clock of {0} says {1:u}, before this folder was made ({2:u}).' -f $ComputerName, $Now, $Then)
    }
    $Offset = Get-ClockOffset -Source $ClockSource
    $script:ClockOffset = [string]$Offset
    if ($null -eq $Offset) {
        return ('it is {0:u} here; no other clock answered, so compare that with your watch' -f $Now)
    }
    if ([System.Math]::Abs($Offset) -gt 300) {
        throw ('The clock of {0} is {1} seconds off that of {2}.' -f $ComputerName, $Offset, $ClockSource)
    }
    'the clock is {0} seconds off that of {1}' -f $Offset, $ClockSource
}
