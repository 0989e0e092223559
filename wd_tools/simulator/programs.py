"""Programs, fee accounts and tip accounts of mainnet that simulated transactions name.

Ids as solana-dex-parser's constants and Jito's documentation list them.
"""

from typing import Final, NamedTuple

SYSTEM: Final = "11111111111111111111111111111111"
COMPUTE_BUDGET: Final = "ComputeBudget111111111111111111111111111111"
TOKEN: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
TOKEN_2022: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
ASSOCIATED_TOKEN: Final = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
MEMO: Final = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
MARINADE: Final = "MarBmsSgKXdrN1egZf5sqe1TMai9K1rChYNDJgjq7aD"
STAKE_POOL: Final = "SPoo1Ku8WFXoNDMHPsrGSTSG1Y47rzgn41SLUNakuHy"
STAKE: Final = "Stake11111111111111111111111111111111111111"
JUPITER_LIMIT: Final = "j1o2qRpjcyUwEvwtcfhEQefh773ZgjxcVRry7LDqg5X"
JUPITER_DCA: Final = "DCA265Vj8a9CEuX1eb1LWRnDT7uK6q1xMipnNyatn23M"
KAMINO: Final = "KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD"
MERKLE_DISTRIBUTOR: Final = "DiSLRwcSFvtwvMWSs7ubBMvYRaYNYupa76ZSuYLe6D7j"

JITO_TIPS: Final = (
    "96gYZGLnJYVFmbjzopPSU6QiEV5fGqZNyN9nmNhvrZU5",
    "HFqU5x63VTqvQss8hp11i4wVV8bD44PvwucfZ2bU7gRe",
    "Cw8CFyM9FkoMi7K7Crf6HNQqf4uEMzpKw6QNghXLvLkY",
    "ADaUMid9yfUytqMBgopwjb2DTLSokTSzL1zt6iGPaS49",
    "DfXygSm4jCyNCybVYYK6DwvWqjKee8pbDmJGcLWNDXjh",
    "ADuUkR4vqLUMWXxW9gh6D6L8pMSawimctcNZ5pGwDcEt",
    "DttWaMuVvTiduZRnguLF7jNxTgiMBZ1hyAumKUiL2KRL",
    "3AVi9Tg9Uo68tJfuvoKvqKNWKkC5wPdSSdeBnizKZ6jT",
)
PHOTON_FEE: Final = "AVUCZyuT35YSuj4RH7fwiyPu82Djn2Hfg7y2ND2XcnZH"
TROJAN_FEE: Final = "9yMwSPk9mrXSN7yDHUuZurAh1sjbJsfpUqjZ7SvVtdco"
PUMP_FUN_FEE: Final = "CebN5WGQ4jvEPvsVU4EoHEpgzq1VV7AbicfhtW4xC9iM"
PUMP_SWAP_FEE: Final = "62qc2CNXwrYqQScmEdiZFFAnJR262PxWEuNQtxfafNgV"
# Tips of Photon go to accounts that no list has.
PHOTON_TIP: Final = "7ks326H4LbMVaUC8nW5FpC5EoAf5eK5pf4Dsx4HDQLpq"
JUPITER_REFERRAL: Final = "45ruCyfdRkWpRNGEqWzjCiXRHkZs8WXCLQ67Pnpye7Hp"


class Venue(NamedTuple):
    """Where a swap happens. `buy` and `sell` lead the instruction's data (hex)."""

    name: str
    program: str
    buy: str
    sell: str


_ANCHOR_SWAP = "f8c69e91e17587c8"

PUMP_FUN: Final = Venue(
    "Pump.fun",
    "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P",
    "66063d1201daebea",
    "33e685a4017f83ad",
)
PUMP_SWAP: Final = Venue(
    "PumpSwap",
    "pAMMBay6oceH9fJKBRHGP5D4bD4sWpmSwMn52FMfXEA",
    "66063d1201daebea",
    "33e685a4017f83ad",
)
RAYDIUM_V4: Final = Venue("Raydium V4", "675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8", "09", "09")
RAYDIUM_CPMM: Final = Venue(
    "Raydium CPMM",
    "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C",
    "8fbe5adac41e33de",
    "8fbe5adac41e33de",
)
RAYDIUM_CLMM: Final = Venue(
    "Raydium CLMM",
    "CAMMCzo5YL8w4VFF8KVHrK22GGUsp5VTaW7grrKgrWqK",
    "2b04ed0b1ac91e62",
    "2b04ed0b1ac91e62",
)
ORCA: Final = Venue(
    "Orca Whirlpool", "whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc", _ANCHOR_SWAP, _ANCHOR_SWAP
)
METEORA_DLMM: Final = Venue(
    "Meteora DLMM", "LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo", _ANCHOR_SWAP, _ANCHOR_SWAP
)
METEORA_DAMM_V2: Final = Venue(
    "Meteora DAMM v2", "cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG", _ANCHOR_SWAP, _ANCHOR_SWAP
)
METEORA_DBC: Final = Venue(
    "Meteora DBC", "dbcij3LWUppWqq96dh6gJWwBifmcGfLSB5D4DuSMaqN", _ANCHOR_SWAP, _ANCHOR_SWAP
)
JUPITER: Final = Venue(
    "Jupiter v6",
    "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4",
    "e517cb977ae3ad2a",
    "c1209b3341d69c81",
)
JUPITER_RFQ: Final = Venue(
    "Jupiter RFQ",
    "61DFfeTKM7trxYcPQCM78bJ794ddZprZpAwAnLiwTpYH",
    "a860b7a35c0a28a0",
    "a860b7a35c0a28a0",
)
PHOTON: Final = Venue(
    "Photon",
    "BSfD6SHZigAfDWSjzD5Q41jw8LmKwtmjskPH9XW1mrRW",
    "52e177e74e1d2d46",
    "5d582b9ae6c7a1b2",
)

# Pools that trade a token directly against SOL or a stable coin.
POOLS: Final = (
    PUMP_SWAP,
    RAYDIUM_V4,
    RAYDIUM_CPMM,
    RAYDIUM_CLMM,
    ORCA,
    METEORA_DLMM,
    METEORA_DAMM_V2,
)
